import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/** Fills a topic once, with made-up records or with given ones. */
final class Load {
  static void register(Map<String, Agent.Command> commands) {
    commands.put("produce", Load::produce);
    commands.put("put", Load::put);
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

  /** Sends these records, one after the other, each to its key's partition; a value that is not there deletes. */
  private static ObjectNode put(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer = Records.producer(args)) {
      for (JsonNode record : args.get("records")) {
        byte[] key = record.get(0).asText().getBytes(StandardCharsets.UTF_8);
        byte[] value = record.get(1).isNull() ? null : record.get(1).asText().getBytes(StandardCharsets.UTF_8);
        sent.add(producer.send(new ProducerRecord<>(topic, key, value)));
      }
    }
    for (Future<RecordMetadata> answer : sent) {
      answer.get();
    }
    return Agent.JSON.createObjectNode();
  }
}
