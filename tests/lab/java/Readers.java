import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/** Readers of other kinds: with offsets of their own, share groups, Kafka Streams. */
final class Readers {
  private static final Map<String, AtomicBoolean> HELD = new ConcurrentHashMap<>();

  static void register(Map<String, Agent.Command> commands) {
    commands.put("read_from", Readers::readFrom);
    commands.put("values", Readers::values);
    commands.put("share_consume", Readers::share);
    commands.put("share_hold_start", Readers::hold);
    commands.put("share_hold_stop", Readers::release);
    commands.put("streams_run", Readers::streams);
  }

  private static Properties consumer(JsonNode args) {
    Properties props = new Properties();
    props.put("bootstrap.servers", args.get("bootstrap").asText());
    props.put("enable.auto.commit", "false");
    props.put("auto.offset.reset", "none");
    props.put("key.deserializer", ByteArrayDeserializer.class.getName());
    props.put("value.deserializer", ByteArrayDeserializer.class.getName());
    return props;
  }

  /**
   * Reads partitions as a reader in no group that keeps its next offsets itself: from the given offset to a limit or the
   * end as it stands at the start. Answers the next offsets.
   */
  private static ObjectNode readFrom(JsonNode args) {
    long max = args.path("partition_records_max").asLong(Long.MAX_VALUE);
    Properties props = consumer(args);
    props.put("isolation.level", args.path("isolation").asText("read_uncommitted"));
    ArrayNode rows = Agent.JSON.createArrayNode();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(props)) {
      for (JsonNode row : args.get("from")) {
        TopicPartition partition = new TopicPartition(row.get("topic").asText(), row.get("partition").asInt());
        consumer.assign(List.of(partition));
        consumer.seek(partition, row.get("next").asLong());
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        Canon canon = new Canon();
        long first = -1;
        long next = row.get("next").asLong();
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (next < end && canon.count < max) {
          if (System.nanoTime() > deadline) {
            throw new IllegalStateException(partition + " is at " + next + " and did not come to " + end);
          }
          for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
            if (canon.count < max && record.offset() < end) {
              first = first < 0 ? record.offset() : first;
              next = record.offset() + 1;
              canon.add(record);
            }
          }
          if (canon.count < max) {
            // Past what a reader never sees, too.
            next = Math.min(consumer.position(partition), end);
          }
        }
        ObjectNode answer = rows.addObject().put("topic", partition.topic()).put("partition", partition.partition())
            .put("first", first).put("next", next);
        canon.finish(answer);
      }
    }
    return Agent.JSON.<ObjectNode>valueToTree(Map.of("partitions", rows));
  }

  /** Counts a topic's records and its different values, wherever they lie. */
  private static ObjectNode values(JsonNode args) {
    long count = 0;
    Set<String> values = new HashSet<>();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consumer(args))) {
      List<TopicPartition> partitions = consumer.partitionsFor(args.get("topic").asText()).stream()
          .map(p -> new TopicPartition(p.topic(), p.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      while (!partitions.stream().allMatch(p -> consumer.position(p) >= ends.get(p))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          count++;
          values.add(HexFormat.of().formatHex(Canon.sha256().digest(record.value())));
        }
      }
    }
    return Agent.JSON.createObjectNode().put("count", count).put("different", values.size());
  }

  /** Joins a share group, takes and acknowledges this many records from the log's start on, leaves. */
  private static ObjectNode share(JsonNode args) throws Exception {
    String group = args.get("group").asText();
    Topics.admin(args).incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group),
        List.of(new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET)))).all().get();
    long wanted = args.get("records").asLong();
    long count = 0;
    long deadline = System.nanoTime() + 60_000_000_000L;
    try (KafkaShareConsumer<byte[], byte[]> consumer = sharer(args)) {
      while (count < wanted) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("the share group was given " + count + " records in 60 s");
        }
        count += consumer.poll(Duration.ofMillis(200)).count();
      }
      consumer.commitSync();
    }
    return Agent.JSON.createObjectNode().put("count", count);
  }

  private static KafkaShareConsumer<byte[], byte[]> sharer(JsonNode args) {
    Properties props = new Properties();
    props.put("bootstrap.servers", args.get("bootstrap").asText());
    props.put("group.id", args.get("group").asText());
    props.put("key.deserializer", ByteArrayDeserializer.class.getName());
    props.put("value.deserializer", ByteArrayDeserializer.class.getName());
    KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(props);
    consumer.subscribe(Topics.texts(args.get("topics")));
    return consumer;
  }

  /** Keeps a member in a share group, until {@code share_hold_stop}. */
  private static ObjectNode hold(JsonNode args) throws Exception {
    String group = args.get("group").asText();
    AtomicBoolean held = new AtomicBoolean(true);
    Thread thread = new Thread(() -> {
      try (KafkaShareConsumer<byte[], byte[]> consumer = sharer(args)) {
        while (held.get()) {
          consumer.poll(Duration.ofMillis(100));
        }
      }
    });
    thread.setDaemon(true);
    thread.start();
    HELD.put(group, held);
    long deadline = System.nanoTime() + 30_000_000_000L;
    while (Topics.admin(args).describeShareGroups(List.of(group)).all().get().get(group).members().isEmpty()) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException(group + " has no member after 30 s");
      }
      Thread.sleep(100);
    }
    return Agent.JSON.createObjectNode();
  }

  private static ObjectNode release(JsonNode args) {
    HELD.remove(args.get("group").asText()).set(false);
    return Agent.JSON.createObjectNode();
  }

  /** Runs an application that copies one topic to another until it has committed the end, as it stands at the start. */
  private static ObjectNode streams(JsonNode args) throws Exception {
    String id = args.get("application_id").asText();
    String from = args.get("from").asText();
    Properties props = new Properties();
    props.put("bootstrap.servers", args.get("bootstrap").asText());
    props.put("application.id", id);
    props.put("group.protocol", args.path("protocol").asText("classic"));
    props.put("state.dir", System.getProperty("java.io.tmpdir") + "/streams-" + System.nanoTime());
    props.put("commit.interval.ms", "200");
    props.put("num.stream.threads", "1");
    props.put("auto.offset.reset", "earliest");
    props.put("default.key.serde", Serdes.ByteArraySerde.class.getName());
    props.put("default.value.serde", Serdes.ByteArraySerde.class.getName());
    StreamsBuilder builder = new StreamsBuilder();
    builder.<byte[], byte[]>stream(from).to(args.get("to").asText());
    Map<TopicPartition, Long> ends = new TreeMap<>(Groups.ORDER);
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consumer(args))) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(from).stream().map(p -> new TopicPartition(from, p.partition())).toList();
      ends.putAll(consumer.endOffsets(partitions));
    }
    KafkaStreams streams = new KafkaStreams(builder.build(), props);
    try {
      streams.start();
      long deadline = System.nanoTime() + 90_000_000_000L;
      while (!reached(args, id, ends)) {
        if (System.nanoTime() > deadline || streams.state() == KafkaStreams.State.ERROR) {
          throw new IllegalStateException("the application is " + streams.state() + " and has not committed " + ends);
        }
        Thread.sleep(100);
      }
    } finally {
      streams.close(Duration.ofSeconds(30));
    }
    return Agent.JSON.createObjectNode();
  }

  private static boolean reached(JsonNode args, String group, Map<TopicPartition, Long> ends) throws Exception {
    Map<TopicPartition, OffsetAndMetadata> committed;
    try {
      committed = Topics.admin(args).listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    } catch (java.util.concurrent.ExecutionException notYet) {
      return false;
    }
    return ends.entrySet().stream().allMatch(end -> end.getValue() == 0
        || committed.get(end.getKey()) != null && committed.get(end.getKey()).offset() >= end.getValue());
  }
}
