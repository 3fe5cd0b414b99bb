import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.producer.KafkaProducer;

/** Transactional producers whose transactions end, or are left hanging. */
final class Transactions {
  private static final Map<String, KafkaProducer<byte[], byte[]>> OPEN = new ConcurrentHashMap<>();

  static void register(Map<String, Agent.Command> commands) {
    commands.put("transaction_begin", Transactions::begin);
    commands.put("transaction_end", Transactions::end);
  }

  /** Begins a transaction, puts records in and flushes them; {@code transaction_end} decides how it goes on. */
  private static ObjectNode begin(JsonNode args) throws Exception {
    String id = args.get("transactional_id").asText();
    KafkaProducer<byte[], byte[]> producer = Records.producer(args, "transactional.id", id, "enable.idempotence",
        "true", "transaction.timeout.ms", args.path("timeout_ms").asText("60000"));
    if (OPEN.putIfAbsent(id, producer) != null) {
      producer.close();
      throw new IllegalArgumentException("a transaction of this id is open: " + id);
    }
    producer.initTransactions();
    producer.beginTransaction();
    Records records = new Records(args);
    String topic = args.get("topic").asText();
    int partitions = producer.partitionsFor(topic).size();
    int fixed = args.path("partition").asInt(-1);
    for (long i = 0; i < args.path("records").asLong(0); i++) {
      producer.send(records.next(topic, fixed >= 0 ? fixed : (int) (i % partitions), i));
    }
    producer.flush();
    return Agent.JSON.createObjectNode();
  }

  private static ObjectNode end(JsonNode args) {
    String id = args.get("transactional_id").asText();
    KafkaProducer<byte[], byte[]> producer = OPEN.remove(id);
    if (producer == null) {
      throw new IllegalArgumentException("no transaction of this id is open: " + id);
    }
    switch (args.get("outcome").asText()) {
      case "commit" -> producer.commitTransaction();
      case "abort" -> producer.abortTransaction();
      // Closing without a decision would abort; a producer that vanishes leaves its transaction open.
      case "abandon" -> {
        OPEN.put(id + "#abandoned-" + System.nanoTime(), producer);
        return Agent.JSON.createObjectNode();
      }
      default -> throw new IllegalArgumentException("outcome: commit, abort or abandon");
    }
    producer.close(Duration.ofSeconds(10));
    return Agent.JSON.createObjectNode();
  }
}
