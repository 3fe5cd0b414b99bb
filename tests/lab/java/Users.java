import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;

/** SCRAM users. */
final class Users {
  static void register(Map<String, Agent.Command> commands) {
    commands.put("upsert_scram", Users::upsert);
  }

  private static ObjectNode upsert(JsonNode args) throws Exception {
    ScramMechanism mechanism = ScramMechanism.fromMechanismName(args.get("mechanism").asText());
    ScramCredentialInfo info = new ScramCredentialInfo(mechanism, 4096);
    Topics.admin(args).alterUserScramCredentials(List.of(
        new UserScramCredentialUpsertion(args.get("user").asText(), info, args.get("password").asText()))).all().get();
    return Agent.JSON.createObjectNode();
  }
}
