import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Makes records; the same seed and arguments make the same records (timestamps of {@code now} aside). */
final class Records {
  private static final String[] WORDS = {
    "accepted", "shipment", "warehouse", "customer", "Rotterdam", "Gdansk", "invoice", "pending", "express", "pallet",
    "refused", "container", "Antwerp", "manifest", "customs", "delivered"};

  private final SplittableRandom random;
  private final int sizeMin;
  private final int sizeMax;
  private final boolean json;
  private final String headers;
  private final int keys;
  private final boolean alternatingKeys;
  private final double nullKeys;
  private final double nullValues;
  private final long timestampBase;
  private final long timestampStep;

  Records(JsonNode args) {
    random = new SplittableRandom(args.path("seed").asLong(1));
    sizeMin = args.path("value_bytes_min").asInt(100);
    sizeMax = Math.max(sizeMin, args.path("value_bytes_max").asInt(sizeMin));
    json = !args.path("content").asText("json").equals("random");
    headers = args.path("headers").asText("none");
    keys = args.path("keys").asInt(1000);
    alternatingKeys = args.path("alternating_keys").asBoolean(false);
    nullKeys = args.path("null_key_ratio").asDouble(0);
    nullValues = args.path("null_value_ratio").asDouble(0);
    timestampBase = args.path("timestamp_base_ms").asLong(-1);
    timestampStep = args.path("timestamp_step_ms").asLong(0);
  }

  ProducerRecord<byte[], byte[]> next(String topic, int partition, long seq) {
    byte[] key = random.nextDouble() < nullKeys ? null
        : ("key-" + (alternatingKeys ? seq % 2 * seq : random.nextInt(keys))).getBytes(StandardCharsets.UTF_8);
    byte[] value = random.nextDouble() < nullValues ? null : value(topic + "-" + partition + "-" + seq);
    Long timestamp = timestampBase < 0 ? null : Long.valueOf(timestampBase + seq * timestampStep);
    return new ProducerRecord<>(topic, partition, timestamp, key, value, headers(seq));
  }

  private List<Header> headers(long seq) {
    byte[] number = Long.toString(seq).getBytes(StandardCharsets.UTF_8);
    return switch (headers) {
      case "none" -> List.of();
      // The same key three times, with a value, without one, and with an empty one; then an empty key.
      case "odd" -> List.of(new RecordHeader("trace", number), new RecordHeader("trace", (byte[]) null),
          new RecordHeader("trace", new byte[0]), new RecordHeader("", number), new RecordHeader("źródło", number));
      default -> throw new IllegalArgumentException("headers: none or odd, not " + headers);
    };
  }

  private byte[] value(String unique) {
    int size = sizeMin == sizeMax ? sizeMin : random.nextInt(sizeMin, sizeMax + 1);
    byte[] value = new byte[size];
    byte[] id = (json ? "{\"id\":\"" + unique + "\"," : unique + " ").getBytes(StandardCharsets.UTF_8);
    int at = Math.min(size, id.length);
    System.arraycopy(id, 0, value, 0, at);
    if (!json) {
      while (at < size) {
        long bits = random.nextLong();
        for (int i = 0; i < 8 && at < size; i++, bits >>= 8) {
          value[at++] = (byte) bits;
        }
      }
      return value;
    }
    while (at < size) {
      long bits = random.nextLong();
      byte[] field = ("\"" + WORDS[(int) (bits & 15)] + "\":\"" + WORDS[(int) (bits >> 4 & 15)] + "\",\"n\":"
          + (bits >>> 44) + ",").getBytes(StandardCharsets.US_ASCII);
      int part = Math.min(field.length, size - at);
      System.arraycopy(field, 0, value, at, part);
      at += part;
    }
    if (size > id.length) {
      value[size - 1] = '}';
    }
    return value;
  }

  static KafkaProducer<byte[], byte[]> producer(JsonNode args, String... more) {
    Properties props = new Properties();
    props.put("bootstrap.servers", args.get("bootstrap").asText());
    props.put("client.id", args.path("client_id").asText("lab-producer"));
    props.put("acks", "all");
    props.put("enable.idempotence", args.path("idempotent").asBoolean(true) ? "true" : "false");
    props.put("compression.type", args.path("codec").asText("none"));
    props.put("linger.ms", args.path("linger_ms").asText("20"));
    props.put("batch.size", args.path("batch_bytes").asText("65536"));
    props.put("buffer.memory", "67108864");
    props.put("max.request.size", args.path("request_bytes_max").asText("12582912"));
    props.put("reconnect.backoff.max.ms", "500");
    props.put("metadata.max.age.ms", "5000");
    props.put("key.serializer", ByteArraySerializer.class.getName());
    props.put("value.serializer", ByteArraySerializer.class.getName());
    for (int i = 0; i < more.length; i += 2) {
      props.put(more[i], more[i + 1]);
    }
    args.path("props").fields().forEachRemaining(f -> props.put(f.getKey(), f.getValue().asText()));
    return new KafkaProducer<>(props);
  }
}
