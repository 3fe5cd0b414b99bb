import java.io.IOException;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * A broker's side of Amazon MSK's IAM authentication over OAUTHBEARER.
 *
 * <p>The token is a signed URL in base64. Its signature is computed again with the secret of the access key that it
 * names, and its scope and its times are checked. Options: {@code region}, and {@code key_ACCESSKEY} with each secret.
 */
public final class IamCallbackHandler implements AuthenticateCallbackHandler {
  private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
  /** How far a client's clock may be ahead. */
  private static final long AHEAD_SECONDS_MAX = 300;
  private static final long EXPIRES_SECONDS_MAX = 900;

  private Map<String, ?> options = Map.of();

  @Override
  public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
    options = entries.get(0).getOptions();
  }

  @Override
  public void close() {}

  @Override
  public void handle(Callback[] callbacks) throws IOException, UnsupportedCallbackException {
    for (Callback callback : callbacks) {
      if (callback instanceof OAuthBearerValidatorCallback validate) {
        try {
          validate.token(verified(validate.tokenValue()));
        } catch (Exception refusal) {
          validate.error("invalid_token: " + refusal.getMessage(), null, null);
        }
      } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
        extensions.inputExtensions().map().keySet().forEach(extensions::valid);
      } else {
        throw new UnsupportedCallbackException(callback);
      }
    }
  }

  private OAuthBearerToken verified(String value) throws Exception {
    URI url = URI.create(new String(Base64.getUrlDecoder().decode(value), StandardCharsets.UTF_8));
    Map<String, String> query = new TreeMap<>();
    for (String pair : url.getRawQuery().split("&")) {
      String[] parts = pair.split("=", 2);
      query.put(URLDecoder.decode(parts[0], StandardCharsets.UTF_8), URLDecoder.decode(parts[1].replace("+", "%2B"), StandardCharsets.UTF_8));
    }
    query.remove("User-Agent");
    String region = (String) options.get("region");
    String host = "kafka." + region + ".amazonaws.com";
    require(host.equals(url.getHost()), "the host is " + url.getHost());
    require("kafka-cluster:Connect".equals(query.get("Action")), "the action is not kafka-cluster:Connect");
    require("AWS4-HMAC-SHA256".equals(query.get("X-Amz-Algorithm")), "the algorithm is another");
    require("host".equals(query.get("X-Amz-SignedHeaders")), "other headers are signed");
    String time = query.get("X-Amz-Date");
    String[] credential = query.get("X-Amz-Credential").split("/", 2);
    String scope = time.substring(0, 8) + "/" + region + "/kafka-cluster/aws4_request";
    require(scope.equals(credential[1]), "the scope is " + credential[1]);
    Object secret = options.get("key_" + credential[0]);
    require(secret != null, "the access key is not known");
    long seconds = Long.parseLong(query.get("X-Amz-Expires"));
    Instant from = Instant.from(TIME.parse(time));
    Instant until = from.plusSeconds(seconds);
    require(seconds <= EXPIRES_SECONDS_MAX, "the token is valid for too long");
    require(Instant.now().isBefore(until), "the token has expired");
    require(Instant.now().plusSeconds(AHEAD_SECONDS_MAX).isAfter(from), "the token is from the future");

    String signature = query.remove("X-Amz-Signature");
    StringBuilder canonical = new StringBuilder();
    query.forEach((name, text) -> canonical.append(canonical.isEmpty() ? "" : "&").append(encode(name)).append('=').append(encode(text)));
    String request = "GET\n/\n" + canonical + "\nhost:" + host + "\n\nhost\n" + sha256("");
    String toSign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n" + sha256(request);
    byte[] key = ("AWS4" + secret).getBytes(StandardCharsets.UTF_8);
    for (String part : new String[] {time.substring(0, 8), region, "kafka-cluster", "aws4_request"}) {
      key = hmac(key, part);
    }
    byte[] expected = HexFormat.of().formatHex(hmac(key, toSign)).getBytes(StandardCharsets.UTF_8);
    require(MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8)), "the signature does not match");
    return new Verified(value, credential[0], from.toEpochMilli(), until.toEpochMilli());
  }

  private record Verified(String value, String principalName, Long startTimeMs, long lifetimeMs) implements OAuthBearerToken {
    @Override
    public Set<String> scope() {
      return Set.of();
    }
  }

  private static void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalArgumentException(otherwise);
    }
  }

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
  }

  private static String sha256(String text) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
  }

  private static byte[] hmac(byte[] key, String text) throws Exception {
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
  }
}
