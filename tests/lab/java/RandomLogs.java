import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Builds many logs at once, each a partition, each by chance, and all of it from one seed.
 *
 * <p>Time goes in waves. In one wave a log gets at most one burst, of one producer; then everything is flushed, then transactions are decided one
 * after the other. So the order within a log is the seed's and not the network's, though hundreds of logs share a dozen producers. Batches are closed
 * by their size or the flush, never by the clock.
 *
 * <p>Every log has choices of its own: it comes out the same whether it is built among hundreds or alone ({@code only}).
 */
final class RandomLogs {
  private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
  private static final int[] BATCH_BYTES = {0, 200, 2_000, 16_384, 65_536, 200_000};
  private static final int[] VALUE_BYTES = {0, 30, 300, 3_000, 20_000};
  private static final int[] BURSTS = {1, 4, 20, 100, 400};
  private static final double[] RATIOS = {0, 0, 0, 0.1, 0.5, 1};
  private static final int TRANSACTIONAL = 8;
  private static final int PLAIN = 7;
  private static final int PARTITIONS_MAX = 24;
  private static final int LOG_BYTES_MAX = 1_500_000;
  private static final int BURST_BYTES_MAX = 250_000;
  private static final long DAY_MS = 24L * 3_600 * 1_000;

  static void register(Map<String, Agent.Command> commands) {
    commands.put("random_logs", args -> new RandomLogs(args).build());
  }

  /** One stream of choices for each thing that has some. */
  private static SplittableRandom choices(long seed, int kind, int number) {
    return new SplittableRandom(new SplittableRandom(seed + 0x9E3779B97F4A7C15L * kind).nextLong() + 0xBF58476D1CE4E5B9L * number);
  }

  private static int pick(SplittableRandom random, int[] from) {
    return from[random.nextInt(from.length)];
  }

  private static double pick(SplittableRandom random, double[] from) {
    return from[random.nextInt(from.length)];
  }

  private static String pick(SplittableRandom random, String... from) {
    return from[random.nextInt(from.length)];
  }

  private static final class Kind {
    final String name;
    final Map<String, String> configs = new LinkedHashMap<>();
    String times = "create";
    String cleanup = "delete";
    int partitions;

    Kind(String name) {
      this.name = name;
    }
  }

  /** A producer, shared by the logs that have chosen it. */
  private final class Actor {
    final String name;
    final KafkaProducer<byte[], byte[]> producer;
    final boolean transactional;
    final SplittableRandom random;
    final double decides;
    final double aborts;
    /** Records of the open transaction. */
    final Map<Log, Integer> open = new LinkedHashMap<>();
    boolean sent;

    Actor(String prefix, int number, JsonNode args) {
      transactional = number < TRANSACTIONAL;
      random = choices(seed, 1, number);
      String codec = CODECS[number % CODECS.length];
      int batchBytes = pick(random, BATCH_BYTES);
      boolean idempotent = transactional || random.nextInt(3) != 0;
      // Some decide with every burst, some hold a transaction open nearly all the time.
      decides = pick(random, new double[] {0.5, 0.3, 0.1, 0.05, 0.02});
      aborts = pick(random, new double[] {0, 0.3, 0.5, 0.7, 1});
      name = (transactional ? "transactional-" : idempotent ? "idempotent-" : "plain-") + number + " " + codec + " batch.size=" + batchBytes
          + (transactional ? " decides=" + decides + " aborts=" + aborts : "");
      ObjectNode mine = Agent.JSON.createObjectNode().put("bootstrap", args.get("bootstrap").asText()).put("client_id", "random-logs-" + number)
          .put("idempotent", idempotent).put("codec", codec).put("batch_bytes", batchBytes).put("linger_ms", 1_000_000);
      List<String> more = new ArrayList<>(List.of("delivery.timeout.ms", "1100000"));
      if (transactional) {
        more.addAll(List.of("transactional.id", prefix + "-" + number, "transaction.timeout.ms", "600000"));
      }
      producer = Records.producer(mine, more.toArray(String[]::new));
      if (transactional) {
        producer.initTransactions();
      }
    }
  }

  /** What a log is to become, and what it has become so far. */
  private final class Log {
    final int number;
    final Kind kind;
    final TopicPartition partition;
    final SplittableRandom random;
    final ObjectNode said = Agent.JSON.createObjectNode();
    final List<Actor> actors = new ArrayList<>();
    final int steps;
    final int burst;
    final int valueBytes;
    final boolean text;
    final double nullKeys;
    final double nullValues;
    final int keys;
    final String headers;
    final String times;
    final long timeBase;
    final long timeStep;
    final double markerRatio;
    final double trimRatio;
    final String trim;
    long seq;
    long bytes;
    long start;
    long end;
    long committed;
    long aborted;
    long markers;
    long trims;

    Log(int number, Kind kind, int partition) {
      this.number = number;
      this.kind = kind;
      this.partition = new TopicPartition(kind.name, partition);
      random = choices(seed, 2, number);
      int shape = random.nextInt(100);
      boolean empty = shape < 3;
      boolean onlyMarkers = shape >= 3 && shape < 7;
      int transactional = shape < 25 ? 0 : random.nextInt(5);
      int plain = Math.max(random.nextInt(3), transactional == 0 ? 1 : 0);
      int longest = onlyMarkers ? 12 : waves;
      steps = empty ? 0 : Math.max(1, (int) Math.round(Math.exp(random.nextDouble() * Math.log(longest))));
      List<Actor> pool = new ArrayList<>();
      for (int i = 0; i < transactional + plain; i++) {
        Actor actor = all.get(i < transactional ? random.nextInt(TRANSACTIONAL) : TRANSACTIONAL + random.nextInt(PLAIN));
        if (!pool.contains(actor)) {
          pool.add(actor);
        }
      }
      actors.addAll(empty || onlyMarkers ? List.of() : pool);
      burst = pick(random, BURSTS);
      valueBytes = pick(random, VALUE_BYTES);
      text = random.nextBoolean();
      nullKeys = kind.cleanup.equals("delete") ? pick(random, RATIOS) : 0;
      nullValues = pick(random, RATIOS);
      keys = 1 + random.nextInt(random.nextBoolean() ? 10 : 1_000);
      headers = pick(random, "none", "none", "odd", "some");
      times = pick(random, "now", "now", "old", "forwards", "backwards", "shuffled", "ahead", "zero");
      timeStep = random.nextLong(0, 60_000);
      timeBase = switch (times) {
        case "ahead" -> today + random.nextLong(DAY_MS, 3 * DAY_MS);
        case "zero" -> 0;
        default -> today - random.nextLong(31 * DAY_MS, 700 * DAY_MS);
      };
      markerRatio = onlyMarkers ? 1 : pick(random, new double[] {0, 0, 0, 0, 0.05});
      boolean trimmable = kind.cleanup.equals("delete") || kind.cleanup.equals("compact,delete");
      trimRatio = trimmable ? pick(random, new double[] {0, 0, 0, 0, 0, 0.03}) : 0;
      trim = trimmable ? pick(random, "none", "none", "none", "none", "anywhere", "anywhere", "anywhere", "first", "last", "end") : "none";
      said.put("number", number).put("topic", kind.name).put("partition", partition).put("timestamp_type", kind.times).put("cleanup", kind.cleanup);
      ObjectNode parameters = said.putObject("parameters");
      ArrayNode names = parameters.putArray("producers");
      actors.forEach(actor -> names.add(actor.name));
      parameters.put("steps", steps).put("burst", burst).put("value_bytes", valueBytes).put("text", text).put("null_keys", nullKeys)
          .put("null_values", nullValues).put("keys", keys).put("headers", headers).put("times", times).put("time_step_ms", timeStep)
          .put("marker_ratio", markerRatio).put("trim_ratio", trimRatio).put("trim", trim).set("configs", Agent.JSON.valueToTree(kind.configs));
    }

    /** This log's part of one wave. */
    void step() {
      if (random.nextDouble() * waves >= steps) {
        return;
      }
      if (actors.isEmpty() || random.nextDouble() < markerRatio) {
        orphans.add(this);
        end++;
        markers++;
      } else {
        send(actors.get(random.nextInt(actors.size())));
      }
    }

    private void send(Actor actor) {
      int count = 1 + random.nextInt(burst);
      int sent = 0;
      for (int size = 0; sent < count && size < BURST_BYTES_MAX; sent++) {
        ProducerRecord<byte[], byte[]> record = next();
        int value = record.value() == null ? 0 : record.value().length;
        size += value + 100;
        bytes += value;
        if (actor.transactional && actor.open.isEmpty()) {
          actor.producer.beginTransaction();
        }
        actor.open.merge(this, 1, Integer::sum);
        actor.producer.send(record, (metadata, error) -> {
          if (error != null) {
            refused.compareAndSet(null, error);
          }
        });
      }
      actor.sent = true;
      end += sent;
      if (!actor.transactional) {
        committed += sent;
        actor.open.clear();
      }
    }

    private ProducerRecord<byte[], byte[]> next() {
      long n = seq++;
      byte[] key = random.nextDouble() < nullKeys ? null : random.nextInt(50) == 0 && kind.cleanup.equals("delete") ? new byte[0]
          : ("key-" + random.nextInt(keys)).getBytes(java.nio.charset.StandardCharsets.UTF_8);
      Long timestamp = switch (times) {
        case "now" -> null;
        case "forwards", "ahead" -> timeBase + n * timeStep % (3 * DAY_MS);
        case "backwards" -> timeBase + 30 * DAY_MS - n * timeStep % (30 * DAY_MS);
        case "shuffled" -> timeBase + random.nextLong(0, 30 * DAY_MS);
        default -> timeBase;
      };
      return new ProducerRecord<>(kind.name, partition.partition(), timestamp, key, value(n), headers(n));
    }

    private byte[] value(long n) {
      if (random.nextDouble() < nullValues) {
        return null;
      }
      // A log that has grown enough goes on with little.
      int size = random.nextInt((bytes < LOG_BYTES_MAX ? valueBytes : Math.min(valueBytes, 20)) + 1);
      byte[] value = new byte[size];
      if (!text) {
        for (int i = 0; i < size; i += 8) {
          long bits = random.nextLong();
          for (int j = i; j < Math.min(size, i + 8); j++, bits >>= 8) {
            value[j] = (byte) bits;
          }
        }
        return value;
      }
      byte[] word = (number + "/" + n + " of a log by chance, ").getBytes(java.nio.charset.StandardCharsets.UTF_8);
      for (int i = 0; i < size; i++) {
        value[i] = word[i % word.length];
      }
      return value;
    }

    private List<Header> headers(long n) {
      byte[] digits = Long.toString(n).getBytes(java.nio.charset.StandardCharsets.UTF_8);
      if (headers.equals("odd")) {
        return List.of(new RecordHeader("trace", digits), new RecordHeader("trace", (byte[]) null), new RecordHeader("trace", new byte[0]),
            new RecordHeader("", digits), new RecordHeader("źródło", digits));
      }
      List<Header> some = new ArrayList<>();
      for (int i = headers.equals("none") ? 0 : random.nextInt(4); i > 0; i--) {
        some.add(new RecordHeader("h" + random.nextInt(3), new byte[random.nextInt(300)]));
      }
      return some;
    }

    /** Where the log is to start in the end. */
    long finalStart() {
      return switch (trim) {
        case "anywhere" -> start + random.nextLong(0, end - start + 1);
        case "first" -> Math.min(end, start + 1);
        case "last" -> Math.max(start, end - 1);
        case "end" -> end;
        default -> start;
      };
    }

    ObjectNode row() {
      return said.put("log_start", start).put("log_end", end).put("committed", committed).put("aborted", aborted).put("markers", markers)
          .put("bytes", bytes).put("trims", trims);
    }
  }

  private final long seed;
  private final int waves;
  /** Times count from here, so that a seed makes the same ones all day. */
  private final long today = System.currentTimeMillis() / DAY_MS * DAY_MS;
  private final Admin admin;
  private final List<Actor> all = new ArrayList<>();
  private final List<Kind> kinds = new ArrayList<>();
  private final List<Log> logs = new ArrayList<>();
  private final List<Log> orphans = new ArrayList<>();
  private final AtomicReference<Exception> refused = new AtomicReference<>();
  private final JsonNode args;

  private RandomLogs(JsonNode args) {
    this.args = args;
    seed = args.get("seed").asLong();
    waves = args.get("waves").asInt();
    admin = Topics.admin(args);
  }

  private ObjectNode build() throws Exception {
    String prefix = args.get("prefix").asText();
    try {
      for (int number = 0; number < TRANSACTIONAL + PLAIN; number++) {
        all.add(new Actor(prefix, number, args));
      }
      plan(prefix);
      create();
      ExecutorService flushers = Executors.newFixedThreadPool(8);
      try {
        // Asked for one by one, with each first record, the topics' metadata would take longer than the records.
        await(all.stream().<Future<?>>map(actor ->
            flushers.submit(() -> kinds.forEach(kind -> actor.producer.partitionsFor(kind.name)))).toList());
        for (int wave = 0; wave < waves; wave++) {
          wave(wave, flushers);
        }
      } finally {
        flushers.shutdownNow();
      }
    } finally {
      all.forEach(actor -> actor.producer.close(Duration.ofSeconds(10)));
    }
    Map<Log, Long> starts = new LinkedHashMap<>();
    logs.stream().filter(log -> !log.trim.equals("none")).forEach(log -> starts.put(log, log.finalStart()));
    trim(starts);
    expect(logs);
    clean();
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode topics = answer.putArray("topics");
    kinds.forEach(kind -> topics.add(kind.name));
    ArrayNode rows = answer.putArray("logs");
    logs.forEach(log -> rows.add(log.row()));
    return answer;
  }

  /** Decides on topics and logs. */
  private void plan(String prefix) {
    int wanted = args.get("logs").asInt();
    boolean compaction = args.path("compaction").asBoolean(false);
    Set<Integer> only = new HashSet<>();
    args.path("only").forEach(number -> only.add(number.asInt()));
    for (int made = 0; made < wanted;) {
      SplittableRandom random = choices(seed, 3, kinds.size());
      Kind kind = new Kind(String.format("%s-%03d", prefix, kinds.size()));
      kind.partitions = Math.min(1 + random.nextInt(PARTITIONS_MAX), wanted - made);
      kind.configs.put("retention.ms", "-1");
      kind.configs.put("segment.ms", Long.toString(10_000 * DAY_MS));
      int times = random.nextInt(20);
      if (times < 4) {
        kind.configs.put("message.timestamp.type", "LogAppendTime");
      }
      // Half of its life with one, half with the other.
      kind.times = times < 2 ? "append" : times < 4 ? "append, then create" : times < 6 ? "create, then append" : "create";
      if (random.nextInt(6) == 0) {
        kind.configs.put("compression.type", pick(random, "uncompressed", "gzip", "lz4", "zstd"));
      }
      if (random.nextInt(4) == 0) {
        kind.configs.put("segment.bytes", Integer.toString(400_000 + random.nextInt(600_000)));
      }
      int cleanup = random.nextInt(12);
      if (compaction && cleanup < 4) {
        kind.cleanup = cleanup < 2 ? "compact" : cleanup == 2 ? "compact,delete" : "compact, then delete";
        kind.configs.put("cleanup.policy", cleanup == 2 ? "compact,delete" : "compact");
        kind.configs.put("min.cleanable.dirty.ratio", "0.001");
        kind.configs.put("delete.retention.ms", pick(random, "100", "86400000"));
      }
      kinds.add(kind);
      for (int partition = 0; partition < kind.partitions; partition++, made++) {
        if (only.isEmpty() || only.contains(made)) {
          logs.add(new Log(made, kind, partition));
        }
      }
    }
  }

  private void create() throws Exception {
    List<org.apache.kafka.clients.admin.NewTopic> topics = new ArrayList<>();
    for (Kind kind : kinds) {
      topics.add(new org.apache.kafka.clients.admin.NewTopic(kind.name, kind.partitions, (short) args.path("replication").asInt(1))
          .configs(kind.configs));
    }
    Topics.create(admin, topics);
  }

  private void wave(int wave, ExecutorService flushers) throws Exception {
    if (wave == waves / 2) {
      set(kind -> switch (kind.times) {
        case "append, then create" -> Map.of("message.timestamp.type", "CreateTime");
        case "create, then append" -> Map.of("message.timestamp.type", "LogAppendTime");
        default -> Map.of();
      });
    }
    orphans.clear();
    logs.forEach(Log::step);
    List<Future<?>> flushed = new ArrayList<>();
    for (Actor actor : all) {
      if (actor.sent) {
        actor.sent = false;
        flushed.add(flushers.submit(actor.producer::flush));
      }
    }
    for (Log log : orphans) {
      // A marker of a producer that wrote nothing here: all that such a log holds.
      AbortTransactionSpec spec = new AbortTransactionSpec(log.partition, 2_000_000_000L + log.number * 1_000L + log.markers, (short) 0, 0);
      flushed.add(flushers.submit(() -> admin.abortTransaction(spec).all().get()));
    }
    await(flushed);
    if (refused.get() != null) {
      throw refused.get();
    }
    settle(orphans);
    for (Actor actor : all) {
      // Both choices are made in every wave, so that they do not depend on which logs there are.
      boolean decides = actor.random.nextDouble() < actor.decides;
      boolean aborts = actor.random.nextDouble() < actor.aborts;
      if (actor.transactional && !actor.open.isEmpty() && (decides || wave == waves - 1)) {
        decide(actor, aborts);
      }
    }
    Map<Log, Long> starts = new LinkedHashMap<>();
    for (Log log : logs) {
      if (log.trimRatio > 0 && log.random.nextDouble() < log.trimRatio) {
        starts.put(log, log.start + log.random.nextLong(0, log.end - log.start + 1));
      }
    }
    trim(starts);
  }

  private static void await(Collection<Future<?>> all) throws Exception {
    for (Future<?> each : all) {
      each.get();
    }
  }

  private void decide(Actor actor, boolean aborts) throws Exception {
    if (aborts) {
      actor.producer.abortTransaction();
    } else {
      actor.producer.commitTransaction();
    }
    actor.open.forEach((log, records) -> {
      log.end++;
      log.markers++;
      log.aborted += aborts ? records : 0;
      log.committed += aborts ? 0 : records;
    });
    List<Log> touched = List.copyOf(actor.open.keySet());
    actor.open.clear();
    // The coordinator answers before its markers are written; what follows in these logs has to follow them.
    settle(touched);
  }

  /** Waits until these logs end where they should. */
  private void settle(Collection<Log> touched) throws Exception {
    List<TopicPartition> partitions = touched.stream().map(log -> log.partition).toList();
    long deadline = System.nanoTime() + 60_000_000_000L;
    while (!partitions.isEmpty()) {
      var ends = Topics.listOffsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
      if (touched.stream().allMatch(log -> ends.get(log.partition) >= log.end)) {
        return;
      }
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException("markers are not there after 60 s: " + partitions);
      }
      Thread.sleep(2);
    }
  }

  private void trim(Map<Log, Long> starts) throws Exception {
    Map<TopicPartition, RecordsToDelete> requests = new LinkedHashMap<>();
    starts.forEach((log, start) -> {
      if (start > log.start) {
        requests.put(log.partition, RecordsToDelete.beforeOffset(start));
        log.start = start;
        log.trims++;
      }
    });
    if (!requests.isEmpty()) {
      admin.deleteRecords(requests).all().get();
    }
  }

  /** The logs are what they were meant to be, and nothing in them is open. */
  private void expect(Collection<Log> built) throws Exception {
    List<TopicPartition> partitions = built.stream().map(log -> log.partition).toList();
    var starts = Topics.listOffsets(admin, partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED);
    var ends = Topics.listOffsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
    var stable = Topics.listOffsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
    for (Log log : built) {
      TopicPartition p = log.partition;
      // What compaction takes away at its beginning may raise a log's start.
      boolean starts0 = log.kind.cleanup.equals("delete") ? starts.get(p) == log.start : starts.get(p) >= log.start;
      if (!starts0 || ends.get(p) != log.end || stable.get(p) != log.end) {
        throw new IllegalStateException(p + " is " + starts.get(p) + ".." + ends.get(p) + ", stable to " + stable.get(p) + ", not " + log.row());
      }
    }
  }

  private void set(java.util.function.Function<Kind, Map<String, String>> of) throws Exception {
    Map<ConfigResource, Collection<AlterConfigOp>> changes = new LinkedHashMap<>();
    for (Kind kind : kinds) {
      List<AlterConfigOp> values = new ArrayList<>();
      of.apply(kind).forEach((name, value) -> values.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
      if (!values.isEmpty()) {
        changes.put(new ConfigResource(ConfigResource.Type.TOPIC, kind.name), values);
      }
    }
    if (!changes.isEmpty()) {
      admin.incrementalAlterConfigs(changes).all().get();
      Thread.sleep(500);
    }
  }

  /** Lets the cleaner take what it can of the compacted topics: until nothing more goes. */
  private void clean() throws Exception {
    List<Log> compacted = logs.stream().filter(log -> !log.kind.cleanup.equals("delete") && log.end > log.start && !log.actors.isEmpty()).toList();
    if (compacted.isEmpty()) {
      return;
    }
    // The active segment is never cleaned: one more record begins another. Small segments from the start would refuse large batches.
    set(kind -> kind.cleanup.equals("delete") ? Map.of() : Map.of("segment.bytes", "1000"));
    ObjectNode mine = Agent.JSON.createObjectNode().put("bootstrap", args.get("bootstrap").asText());
    try (KafkaProducer<byte[], byte[]> producer = Records.producer(mine)) {
      for (Log log : compacted) {
        byte[] last = "the last".getBytes(java.nio.charset.StandardCharsets.UTF_8);
        producer.send(new ProducerRecord<>(log.kind.name, log.partition.partition(), last, last));
        log.end++;
        log.committed++;
      }
    }
    ObjectNode look = Agent.JSON.createObjectNode().put("bootstrap", args.get("bootstrap").asText());
    ArrayNode topics = look.putArray("topics");
    new LinkedHashSet<>(compacted.stream().map(log -> log.kind.name).toList()).forEach(topics::add);
    long before = -1;
    long since = System.nanoTime();
    for (long deadline = since + 90_000_000_000L; System.nanoTime() < deadline; Thread.sleep(1_000)) {
      long count = 0;
      for (JsonNode row : Judge.dump(look).get("partitions")) {
        count += row.get("count").asLong();
      }
      if (count != before) {
        since = System.nanoTime();
        before = count;
      } else if (System.nanoTime() - since > 5_000_000_000L) {
        break;
      }
    }
    // From now on it holds still, on the target too, since the settings go along.
    set(kind -> {
      Map<String, String> values = new LinkedHashMap<>();
      if (!kind.cleanup.equals("delete")) {
        values.putAll(Map.of("segment.bytes", "1048576", "min.cleanable.dirty.ratio", "1.0", "min.compaction.lag.ms", "9000000000000"));
      }
      if (kind.cleanup.equals("compact, then delete")) {
        values.put("cleanup.policy", "delete");
      }
      return values;
    });
    var starts = Topics.listOffsets(admin, compacted.stream().map(log -> log.partition).toList(), OffsetSpec.earliest(),
        IsolationLevel.READ_UNCOMMITTED);
    compacted.forEach(log -> log.start = starts.get(log.partition));
  }
}
