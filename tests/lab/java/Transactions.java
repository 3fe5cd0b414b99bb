import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/** Transactional producers whose transactions end, or are left hanging. */
final class Transactions {
  private static final String[] CODECS = {"none", "lz4", "zstd", "gzip", "snappy"};
  private static final Map<String, KafkaProducer<byte[], byte[]>> OPEN = new ConcurrentHashMap<>();

  static void register(Map<String, Agent.Command> commands) {
    commands.put("transaction_begin", Transactions::begin);
    commands.put("transaction_offsets", Transactions::offsets);
    commands.put("transaction_end", Transactions::end);
    commands.put("weave", Transactions::weave);
    commands.put("open_transactions", args -> {
      ObjectNode answer = Agent.JSON.createObjectNode();
      Admin admin = Topics.admin(args.get("bootstrap").asText());
      for (TransactionListing listing : admin.listTransactions().all().get()) {
        if (listing.state() == TransactionState.ONGOING) {
          answer.withArray("transactional_ids").add(listing.transactionalId());
        }
      }
      return answer;
    });
    commands.put("transactional_ids", args -> {
      ObjectNode answer = Agent.JSON.createObjectNode();
      for (TransactionListing listing : Topics.admin(args.get("bootstrap").asText()).listTransactions().all().get()) {
        answer.withArray("transactional_ids").add(listing.transactionalId() + " of producer id " + listing.producerId() + " is " + listing.state());
      }
      return answer;
    });
    commands.put("write_marker", Transactions::marker);
  }

  /** Puts a group's offsets into an open transaction: they stand once it is committed. */
  private static ObjectNode offsets(JsonNode args) {
    KafkaProducer<byte[], byte[]> producer = OPEN.get(args.get("transactional_id").asText());
    if (producer == null) {
      throw new IllegalArgumentException("no transaction of this id is open: " + args.get("transactional_id"));
    }
    producer.sendOffsetsToTransaction(Groups.offsets(args), new ConsumerGroupMetadata(args.get("group").asText()));
    return Agent.JSON.createObjectNode();
  }

  /** Appends an abort marker of a producer that wrote nothing: one control record, which no consumer sees. */
  private static ObjectNode marker(JsonNode args) throws Exception {
    TopicPartition partition = new TopicPartition(args.get("topic").asText(), args.get("partition").asInt());
    long producerId = args.get("producer_id").asLong();
    Topics.admin(args).abortTransaction(new AbortTransactionSpec(partition, producerId, (short) 0, 0)).all().get();
    return Agent.JSON.createObjectNode();
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

  /**
   * Several transactional producers and a plain one, interleaved over all partitions of the topics, at random: bursts of records, commits and
   * aborts. Every transaction is decided in the end.
   */
  private static ObjectNode weave(JsonNode args) throws Exception {
    SplittableRandom random = new SplittableRandom(args.path("seed").asLong(1));
    List<String> topics = Topics.texts(args.get("topics"));
    int producers = args.get("producers").asInt();
    double aborts = args.path("abort_ratio").asDouble(0.5);
    int burst = args.path("burst").asInt(12);
    List<KafkaProducer<byte[], byte[]>> all = new ArrayList<>();
    for (int p = 0; p < producers; p++) {
      String id = args.get("transactional_id").asText() + "-" + p;
      all.add(Records.producer(args, "transactional.id", id, "enable.idempotence", "true", "compression.type",
          CODECS[p % CODECS.length]));
      all.get(p).initTransactions();
    }
    all.add(Records.producer(args));
    Records records = new Records(args);
    long[] open = new long[producers];
    long seq = 0;
    long committed = 0;
    long aborted = 0;
    long transactions = 0;
    try {
      for (int step = args.get("steps").asInt(); step >= 0; step--) {
        int who = random.nextInt(all.size());
        KafkaProducer<byte[], byte[]> producer = all.get(who);
        for (int p = 0; p < producers; p++) {
          boolean last = step == 0;
          if (open[p] != 0 && (last || (p == who && random.nextInt(3) == 0))) {
            if (random.nextDouble() < aborts) {
              all.get(p).abortTransaction();
              aborted += open[p];
            } else {
              all.get(p).commitTransaction();
              committed += open[p];
            }
            transactions++;
            open[p] = 0;
            who = -1;
          }
        }
        if (who < 0 || step == 0) {
          continue;
        }
        int count = 1 + random.nextInt(burst);
        if (who < producers && open[who] == 0) {
          producer.beginTransaction();
        }
        for (int i = 0; i < count; i++) {
          String topic = topics.get(random.nextInt(topics.size()));
          producer.send(records.next(topic, random.nextInt(producer.partitionsFor(topic).size()), seq++));
        }
        producer.flush();
        if (who < producers) {
          open[who] += count;
        } else {
          committed += count;
        }
      }
    } finally {
      all.forEach(p -> p.close(Duration.ofSeconds(10)));
    }
    return Agent.JSON.createObjectNode().put("committed", committed).put("aborted", aborted).put("transactions", transactions);
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
