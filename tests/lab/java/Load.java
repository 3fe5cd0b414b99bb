import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;

/** Fills a topic once. */
final class Load {
  static void register(Map<String, Agent.Command> commands) {
    commands.put("produce", Load::produce);
  }

  private static ObjectNode produce(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    long records = args.get("records").asLong();
    int fixed = args.path("partition").asInt(-1);
    long firstSeq = args.path("first_seq").asLong(0);
    Records source = new Records(args);
    AtomicReference<Exception> refused = new AtomicReference<>();
    long bytes = 0;
    try (KafkaProducer<byte[], byte[]> producer = Records.producer(args)) {
      int partitions = producer.partitionsFor(topic).size();
      for (long i = 0; i < records && refused.get() == null; i++) {
        long seq = firstSeq + i;

        int partition = fixed >= 0 ? fixed : (int) (i % partitions);
        var record = source.next(topic, partition, seq);
        bytes += record.value() == null ? 0 : record.value().length;
        producer.send(record, (metadata, error) -> {
          if (error != null) {
            refused.compareAndSet(null, error);
          }
        });
      }
      producer.flush();
    }
    if (refused.get() != null) {
      throw refused.get();
    }
    return Agent.JSON.createObjectNode().put("records", records).put("value_bytes", bytes);
  }
}
