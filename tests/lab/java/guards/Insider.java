import org.apache.kafka.common.security.auth.AuthenticationContext;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder;

/** Whoever comes by the lab's inner listeners is the administrator; who comes without a name by another one is nobody. */
public final class Insider extends DefaultKafkaPrincipalBuilder {
  public Insider() {
    super(null, null);
  }

  @Override
  public KafkaPrincipal build(AuthenticationContext context) {
    return new KafkaPrincipal(KafkaPrincipal.USER_TYPE, "admin");
  }
}
