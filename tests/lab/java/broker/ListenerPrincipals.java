import org.apache.kafka.common.security.auth.AuthenticationContext;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder;

/**
 * Takes who comes in by the listener USER_name for the user of that name, in small letters, and all others for what they are:
 * a broker's authorizer can be tested without passwords or certificates.
 */
public class ListenerPrincipals extends DefaultKafkaPrincipalBuilder {
  private static final String PREFIX = "USER_";

  public ListenerPrincipals() {
    super(null, null);
  }

  @Override
  public KafkaPrincipal build(AuthenticationContext context) {
    String listener = context.listenerName();
    if (listener.startsWith(PREFIX)) {
      return new KafkaPrincipal(KafkaPrincipal.USER_TYPE, listener.substring(PREFIX.length()).toLowerCase());
    }
    return super.build(context);
  }
}
