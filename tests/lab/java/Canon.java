import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/**
 * A record in canonical form, and two digests over many of them.
 *
 * <p>{@code digest} depends on the order; {@code xor} does not, so that what one reader read before a stop and another
 * after it can be put together and compared with the whole.
 */
final class Canon {
  private final MessageDigest one = sha256();
  private final MessageDigest chain = sha256();
  private final byte[] xor = new byte[32];
  private final ByteBuffer numbers = ByteBuffer.allocate(8);
  private final boolean types;
  long count;

  Canon() {
    this(true);
  }

  /** Without types it does not matter who gave a record its timestamp. */
  Canon(boolean types) {
    this.types = types;
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (java.security.NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  void add(ConsumerRecord<byte[], byte[]> record) {
    number(record.offset());
    number(record.timestamp());
    if (types) {
      number(record.timestampType().id);
    }
    bytes(record.key());
    bytes(record.value());
    Header[] headers = record.headers().toArray();
    number(headers.length);
    for (Header header : headers) {
      bytes(header.key().getBytes(StandardCharsets.UTF_8));
      bytes(header.value());
    }
    byte[] digest = one.digest();
    chain.update(digest);
    for (int i = 0; i < digest.length; i++) {
      xor[i] ^= digest[i];
    }
    count++;
  }

  private void number(long value) {
    numbers.clear();
    one.update(numbers.putLong(value).array());
  }

  private void bytes(byte[] bytes) {
    number(bytes == null ? -1 : bytes.length);
    if (bytes != null) {
      one.update(bytes);
    }
  }

  /** Ends the digest and writes both with the count. */
  void finish(ObjectNode into) {
    into.put("count", count);
    into.put("digest", HexFormat.of().formatHex(chain.digest()));
    into.put("xor", HexFormat.of().formatHex(xor));
  }

  /** Says how two records at the same offset differ, or null. */
  String difference(ConsumerRecord<byte[], byte[]> source, ConsumerRecord<byte[], byte[]> target) {
    if (source.timestamp() != target.timestamp()) {
      return "timestamp " + source.timestamp() + " at the source, " + target.timestamp() + " at the target";
    }
    if (types && source.timestampType() != target.timestampType()) {
      return "timestamp type " + source.timestampType() + " at the source, " + target.timestampType()
          + " at the target";
    }
    if (!Arrays.equals(source.key(), target.key())) {
      return "key " + brief(source.key()) + " at the source, " + brief(target.key()) + " at the target";
    }
    if (!Arrays.equals(source.value(), target.value())) {
      return "value " + brief(source.value()) + " at the source, " + brief(target.value()) + " at the target";
    }
    Header[] left = source.headers().toArray();
    Header[] right = target.headers().toArray();
    if (left.length != right.length) {
      return left.length + " headers at the source, " + right.length + " at the target";
    }
    for (int i = 0; i < left.length; i++) {
      if (!left[i].key().equals(right[i].key()) || !Arrays.equals(left[i].value(), right[i].value())) {
        return "header " + i + " is " + left[i].key() + "=" + brief(left[i].value()) + " at the source, "
            + right[i].key() + "=" + brief(right[i].value()) + " at the target";
      }
    }
    return null;
  }

  private static String brief(byte[] bytes) {
    if (bytes == null) {
      return "null";
    }
    return bytes.length + " bytes sha256:" + HexFormat.of().formatHex(sha256().digest(bytes)).substring(0, 12);
  }
}
