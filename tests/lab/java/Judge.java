import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Queue;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads one cluster whole, or two side by side, with the stock consumer. */
final class Judge {
  private static final int DIFFERENCES_MAX = 20;
  private static final int DIFFERENCES_PER_PARTITION_MAX = 5;
  private static final long STALL_MS = 60_000;

  static void register(Map<String, Agent.Command> commands) {
    commands.put("dump", Judge::dump);
    commands.put("judge", Judge::judge);
    commands.put("read", Judge::read);
  }

  /** Where a partition's log starts and ends for one isolation level. */
  private record Span(long start, long end) {}

  private static Map<TopicPartition, Span> spans(Admin admin, List<TopicPartition> partitions, IsolationLevel isolation)
      throws Exception {
    Map<TopicPartition, Long> start = Topics.listOffsets(admin, partitions, OffsetSpec.earliest(), isolation);
    Map<TopicPartition, Long> end = Topics.listOffsets(admin, partitions, OffsetSpec.latest(), isolation);
    Map<TopicPartition, Span> spans = new java.util.HashMap<>();
    partitions.forEach(p -> spans.put(p, new Span(start.get(p), end.get(p))));
    return spans;
  }

  /** One side of a partition as a stream with look-ahead of one poll. */
  private static final class Side implements AutoCloseable {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final ArrayDeque<ConsumerRecord<byte[], byte[]>> ready = new ArrayDeque<>();
    private TopicPartition partition;
    private Span span;
    private final boolean types;
    private Canon canon;

    Side(String bootstrap, IsolationLevel isolation, boolean types) {
      this.types = types;
      Properties props = new Properties();
      props.put("bootstrap.servers", bootstrap);
      props.put("isolation.level", isolation.toString());
      props.put("enable.auto.commit", "false");
      props.put("auto.offset.reset", "none");
      props.put("max.partition.fetch.bytes", "8388608");
      props.put("fetch.max.bytes", "8388608");
      props.put("max.poll.records", "2000");
      props.put("fetch.max.wait.ms", "100");
      props.put("reconnect.backoff.max.ms", "500");
      props.put("key.deserializer", ByteArrayDeserializer.class.getName());
      props.put("value.deserializer", ByteArrayDeserializer.class.getName());
      consumer = new KafkaConsumer<>(props);
    }

    void open(TopicPartition partition, Span span) {
      this.partition = partition;
      this.span = span;
      canon = new Canon(types);
      ready.clear();
      if (span != null && span.end() > span.start()) {
        consumer.assign(List.of(partition));
        consumer.seek(partition, span.start());
      }
    }

    /** The next record below the end, or null when the position has reached the end. */
    ConsumerRecord<byte[], byte[]> peek() {
      if (span == null || span.end() <= span.start()) {
        return null;
      }
      long progressed = System.nanoTime();
      while (ready.isEmpty()) {
        long position = consumer.position(partition);
        if (position >= span.end()) {
          return null;
        }
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200)).records(partition)) {
          if (record.offset() < span.end()) {
            ready.add(record);
          }
        }
        if (!ready.isEmpty() || consumer.position(partition) != position) {
          progressed = System.nanoTime();
        } else if (System.nanoTime() - progressed > STALL_MS * 1_000_000) {
          throw new IllegalStateException(partition + " stands at " + position + " of " + span.end() + " for 60 s");
        }
      }
      return ready.peek();
    }

    void take() {
      canon.add(ready.poll());
    }

    ObjectNode row() {
      ObjectNode row = Agent.JSON.createObjectNode();
      row.put("log_start", span == null ? -1 : span.start()).put("log_end", span == null ? -1 : span.end());
      canon.finish(row);
      return row;
    }

    @Override
    public void close() {
      consumer.close(Duration.ofSeconds(1));
    }
  }

  private interface Work {
    void run(Queue<TopicPartition> queue) throws Exception;
  }

  private static void parallel(List<TopicPartition> partitions, int threads, Work work) throws Exception {
    Queue<TopicPartition> queue = new ConcurrentLinkedQueue<>(partitions);
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    try {
      List<Future<?>> running = new ArrayList<>();
      for (int i = 0; i < Math.min(threads, partitions.size()); i++) {
        running.add(pool.submit(() -> {
          work.run(queue);
          return null;
        }));
      }
      for (Future<?> future : running) {
        future.get();
      }
    } finally {
      pool.shutdownNow();
    }
  }

  private static List<String> isolations(JsonNode args) {
    return args.path("isolation").isTextual() ? List.of(args.get("isolation").asText())
        : List.of("read_uncommitted", "read_committed");
  }

  private static IsolationLevel level(String name) {
    return IsolationLevel.valueOf(name.toUpperCase(java.util.Locale.ROOT));
  }

  static ObjectNode dump(JsonNode args) throws Exception {
    String bootstrap = args.get("bootstrap").asText();
    Admin admin = Topics.admin(bootstrap);
    List<TopicPartition> partitions = Topics.partitions(admin, args.path("topics").isArray()
        ? Topics.texts(args.get("topics")) : admin.listTopics().names().get());
    IsolationLevel isolation = level(args.path("isolation").asText("read_uncommitted"));
    Map<TopicPartition, Span> spans = spans(admin, partitions, isolation);
    Map<TopicPartition, ObjectNode> rows = new java.util.concurrent.ConcurrentHashMap<>();
    parallel(partitions, args.path("threads").asInt(4), queue -> {
      try (Side side = new Side(bootstrap, isolation, true)) {
        for (TopicPartition partition = queue.poll(); partition != null; partition = queue.poll()) {
          side.open(partition, spans.get(partition));
          while (side.peek() != null) {
            side.take();
          }
          rows.put(partition, side.row());
        }
      }
    });
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode list = answer.putArray("partitions");
    for (TopicPartition partition : partitions) {
      ObjectNode row = rows.get(partition);
      row.put("topic", partition.topic()).put("partition", partition.partition());
      list.add(row);
    }
    return answer;
  }

  /** Every record of a small topic: keys and values in hexadecimal, and a digest over all that the record has. */
  private static ObjectNode read(JsonNode args) throws Exception {
    String bootstrap = args.get("bootstrap").asText();
    Admin admin = Topics.admin(bootstrap);
    List<TopicPartition> partitions = Topics.partitions(admin, List.of(args.get("topic").asText()));
    IsolationLevel isolation = level(args.path("isolation").asText("read_uncommitted"));
    Map<TopicPartition, Span> spans = spans(admin, partitions, isolation);
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode rows = answer.putArray("records");
    try (Side side = new Side(bootstrap, isolation, true)) {
      for (TopicPartition partition : partitions) {
        side.open(partition, spans.get(partition));
        for (var record = side.peek(); record != null; record = side.peek()) {
          ObjectNode row = rows.addObject().put("partition", partition.partition()).put("offset", record.offset())
              .put("key", hex(record.key())).put("value", hex(record.value()));
          Canon whole = new Canon();
          whole.add(record);
          whole.finish(row);
          side.take();
        }
      }
    }
    return answer;
  }

  private static String hex(byte[] bytes) {
    return bytes == null ? null : java.util.HexFormat.of().formatHex(bytes);
  }

  private static ObjectNode judge(JsonNode args) throws Exception {
    String source = args.get("source").asText();
    String target = args.get("target").asText();
    boolean types = args.path("timestamp_types").asBoolean(true);
    boolean mapped = args.path("mapped").asBoolean(false);
    Map<TopicPartition, TreeMap<Long, Long>> committed = new java.util.concurrent.ConcurrentHashMap<>();
    for (JsonNode asked : args.path("committed")) {
      committed.computeIfAbsent(new TopicPartition(asked.get("topic").asText(), asked.get("partition").asInt()), p -> new TreeMap<>())
          .put(asked.get("offset").asLong(), -1L);
    }
    Admin sourceAdmin = Topics.admin(source);
    Admin targetAdmin = Topics.admin(target);
    TreeSet<String> topics = new TreeSet<>();
    if (args.path("topics").isArray()) {
      topics.addAll(Topics.texts(args.get("topics")));
    } else {
      topics.addAll(sourceAdmin.listTopics().names().get());
      topics.addAll(targetAdmin.listTopics().names().get());
    }
    List<TopicPartition> ofSource = Topics.partitions(sourceAdmin, topics);
    List<TopicPartition> ofTarget = Topics.partitions(targetAdmin, topics);
    List<TopicPartition> all = new ArrayList<>(ofSource);
    ofTarget.stream().filter(p -> !ofSource.contains(p)).forEach(all::add);

    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode topicRows = answer.putArray("topics");
    Map<TopicPartition, List<String>> differences = new java.util.concurrent.ConcurrentHashMap<>();
    List<String> found = new ArrayList<>();
    for (String topic : topics) {
      if (all.stream().noneMatch(p -> p.topic().equals(topic))) {
        found.add(topic + ": the topic is on neither side");
      }
    }
    for (String name : isolations(args)) {
      IsolationLevel isolation = level(name);
      // A mapped target holds what is committed, and nothing else.
      IsolationLevel sourceIsolation = mapped ? IsolationLevel.READ_COMMITTED : isolation;
      Map<TopicPartition, Span> sourceSpans = spans(sourceAdmin, ofSource, sourceIsolation);
      Map<TopicPartition, Span> targetSpans = spans(targetAdmin, ofTarget, isolation);
      Map<TopicPartition, ObjectNode> rows = new java.util.concurrent.ConcurrentHashMap<>();
      differences.clear();
      parallel(all, args.path("threads").asInt(3), queue -> {
        try (Side left = new Side(source, sourceIsolation, types); Side right = new Side(target, isolation, types)) {
          for (TopicPartition partition = queue.poll(); partition != null; partition = queue.poll()) {
            List<String> list = new ArrayList<>();
            if (mapped) {
              compareMapped(partition, left, sourceSpans.get(partition), right, targetSpans.get(partition), list,
                  committed.getOrDefault(partition, new TreeMap<>()));
            } else {
              compare(partition, left, sourceSpans.get(partition), right, targetSpans.get(partition), list);
            }
            ObjectNode row = Agent.JSON.createObjectNode().put("partition", partition.partition());
            row.set("source", left.row());
            row.set("target", right.row());
            row.put("differences", list.size());
            rows.put(partition, row);
            differences.put(partition, list);
          }
        }
      });
      Map<String, List<TopicPartition>> byTopic = new TreeMap<>();
      all.forEach(p -> byTopic.computeIfAbsent(p.topic(), t -> new ArrayList<>()).add(p));
      byTopic.forEach((topic, partitions) -> {
        ObjectNode row = topicRows.addObject().put("topic", topic).put("isolation", name);
        ArrayNode list = row.putArray("partitions");
        boolean equal = true;
        for (TopicPartition partition : partitions) {
          list.add(rows.get(partition));
          equal &= differences.get(partition).isEmpty();
          differences.get(partition).forEach(d -> found.add(partition + " (" + name + "): " + d));
        }
        row.put("equal", equal);
        for (String side : List.of("source", "target")) {
          long count = 0;
          java.security.MessageDigest digest = Canon.sha256();
          for (TopicPartition partition : partitions) {
            JsonNode half = rows.get(partition).get(side);
            count += half.get("count").asLong();
            digest.update((partition.partition() + ":" + half.get("log_start") + ".." + half.get("log_end") + ":"
                + half.get("digest").asText()).getBytes(java.nio.charset.StandardCharsets.UTF_8));
          }
          row.putObject(side).put("count", count)
              .put("digest", java.util.HexFormat.of().formatHex(digest.digest()));
        }
      });
    }
    ArrayNode places = answer.putArray("committed");
    committed.forEach((partition, asked) -> asked.forEach((offset, place) -> places.addObject().put("topic", partition.topic())
        .put("partition", partition.partition()).put("offset", offset).put("target", place)));
    answer.put("equal", found.isEmpty());
    ArrayNode list = answer.putArray("differences");
    found.stream().limit(DIFFERENCES_MAX).forEach(list::add);
    return answer;
  }

  /**
   * The target has the source's records one after another, without a gap. Of each asked offset it is told where the first
   * record lies that is not below it: by counting, not by any map.
   */
  private static void compareMapped(TopicPartition partition, Side left, Span source, Side right, Span target,
      List<String> differences, TreeMap<Long, Long> committed) {
    left.open(partition, source);
    right.open(partition, target);
    if (source == null || target == null) {
      differences.add("the partition is missing at the " + (source == null ? "source" : "target"));
      return;
    }
    long next = target.start();
    List<Long> open = new ArrayList<>(committed.keySet());
    while (true) {
      ConsumerRecord<byte[], byte[]> one = left.peek();
      ConsumerRecord<byte[], byte[]> other = right.peek();
      if (one == null && other == null) {
        break;
      }
      String difference = null;
      if (one == null || other == null) {
        difference = one == null ? "offset " + other.offset() + " of the target is too many"
            : "offset " + one.offset() + " of the source is missing";
      } else if (other.offset() != next) {
        difference = "offset " + next + " is due at the target, and " + other.offset() + " comes";
      } else {
        String how = left.canon.difference(one, other);
        difference = how == null ? null : "offset " + one.offset() + " and " + other.offset() + ": " + how;
      }
      if (difference != null && differences.size() < DIFFERENCES_PER_PARTITION_MAX) {
        differences.add(difference);
      }
      if (one != null) {
        while (!open.isEmpty() && open.get(0) <= one.offset()) {
          committed.put(open.remove(0), next);
        }
        left.take();
      }
      if (other != null) {
        right.take();
      }
      next++;
    }
    for (Long offset : open) {
      committed.put(offset, next);
    }
    if (next != target.end()) {
      differences.add("the target's log ends at " + target.end() + ", its records at " + next);
    }
  }

  private static void compare(TopicPartition partition, Side left, Span source, Side right, Span target,
      List<String> differences) {
    left.open(partition, source);
    right.open(partition, target);
    if (source == null || target == null) {
      differences.add("the partition is missing at the " + (source == null ? "source" : "target"));
    } else {
      if (source.start() != target.start()) {
        differences.add("log start " + source.start() + " at the source, " + target.start() + " at the target");
      }
      if (source.end() != target.end()) {
        differences.add("log end " + source.end() + " at the source, " + target.end() + " at the target");
      }
    }
    while (true) {
      ConsumerRecord<byte[], byte[]> one = left.peek();
      ConsumerRecord<byte[], byte[]> other = right.peek();
      String difference = null;
      if (one == null && other == null) {
        return;
      } else if (other == null || (one != null && one.offset() < other.offset())) {
        difference = "offset " + one.offset() + " is only at the source";
        left.take();
      } else if (one == null || other.offset() < one.offset()) {
        difference = "offset " + other.offset() + " is only at the target";
        right.take();
      } else {
        String how = left.canon.difference(one, other);
        difference = how == null ? null : "offset " + one.offset() + ": " + how;
        left.take();
        right.take();
      }
      if (difference != null && differences.size() < DIFFERENCES_PER_PARTITION_MAX) {
        differences.add(difference);
      }
    }
  }
}
