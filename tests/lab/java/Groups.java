import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Queue;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumer groups: real members that read and commit, and the admin client's view of them. */
final class Groups {
  static final Comparator<TopicPartition> ORDER =
      Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition);

  private static final Map<String, Held> HELD = new ConcurrentHashMap<>();

  private record Held(Thread thread, KafkaConsumer<byte[], byte[]> consumer, Queue<Commit> commits) {}

  private record Commit(Map<TopicPartition, OffsetAndMetadata> offsets, CompletableFuture<Void> done) {}

  static void register(Map<String, Agent.Command> commands) {
    commands.put("list_groups", Groups::listGroups);
    commands.put("describe_group", Groups::describeGroup);
    commands.put("group_offsets", Groups::groupOffsets);
    commands.put("commit_group_offsets", Groups::commitGroupOffsets);
    commands.put("delete_groups", Groups::deleteGroups);
    commands.put("consume", Groups::consume);
    commands.put("group_hold_start", Groups::hold);
    commands.put("group_hold_commit", Groups::commitAsMember);
    commands.put("group_hold_stop", Groups::release);
  }

  private static ObjectNode listGroups(JsonNode args) throws Exception {
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode rows = answer.putArray("groups");
    Topics.admin(args).listGroups().all().get().stream().sorted(Comparator.comparing(GroupListing::groupId))
        .forEach(group -> rows.addObject().put("group", group.groupId()).put("protocol", group.protocol())
            .put("type", group.type().map(Object::toString).orElse(""))
            .put("state", group.groupState().map(Object::toString).orElse("")));
    return answer;
  }

  private static ObjectNode describeGroup(JsonNode args) throws Exception {
    String group = args.get("group").asText();
    ConsumerGroupDescription described =
        Topics.admin(args).describeConsumerGroups(List.of(group)).all().get().get(group);
    return Agent.JSON.createObjectNode().put("state", described.groupState().toString())
        .put("members", described.members().size());
  }

  private static ObjectNode groupOffsets(JsonNode args) throws Exception {
    Map<TopicPartition, OffsetAndMetadata> offsets = new TreeMap<>(ORDER);
    offsets.putAll(Topics.admin(args).listConsumerGroupOffsets(args.get("group").asText())
        .partitionsToOffsetAndMetadata().get());
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode rows = answer.putArray("offsets");
    offsets.forEach((partition, committed) -> {
      if (committed != null) {
        rows.addObject().put("topic", partition.topic()).put("partition", partition.partition())
            .put("committed", committed.offset()).put("metadata", committed.metadata())
            .put("leader_epoch", committed.leaderEpoch().orElse(-1));
      }
    });
    return answer;
  }

  private static ObjectNode commitGroupOffsets(JsonNode args) throws Exception {
    Topics.admin(args).alterConsumerGroupOffsets(args.get("group").asText(), offsets(args)).all().get();
    return Agent.JSON.createObjectNode();
  }

  /** The offsets of a command that commits some. */
  static Map<TopicPartition, OffsetAndMetadata> offsets(JsonNode args) {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (JsonNode row : args.get("offsets")) {
      int epoch = row.path("leader_epoch").asInt(-1);
      offsets.put(new TopicPartition(row.get("topic").asText(), row.get("partition").asInt()),
          new OffsetAndMetadata(row.get("committed").asLong(), epoch < 0 ? Optional.empty() : Optional.of(epoch),
              row.path("metadata").asText("")));
    }
    return offsets;
  }

  private static ObjectNode deleteGroups(JsonNode args) throws Exception {
    Topics.admin(args).deleteConsumerGroups(Topics.texts(args.get("groups"))).all().get();
    return Agent.JSON.createObjectNode();
  }

  private static KafkaConsumer<byte[], byte[]> member(JsonNode args) {
    Properties props = new Properties();
    props.put("bootstrap.servers", args.get("bootstrap").asText());
    props.put("group.id", args.get("group").asText());
    props.put("client.id", args.path("client_id").asText(args.get("group").asText() + "-member"));
    props.put("auto.offset.reset", args.path("auto_offset_reset").asText("earliest"));
    props.put("enable.auto.commit", "false");
    props.put("isolation.level", args.path("isolation").asText("read_uncommitted"));
    props.put("max.partition.fetch.bytes", "2097152");
    props.put("fetch.max.wait.ms", "100");
    props.put("max.poll.records", "500");
    if (!args.path("props").path("group.protocol").asText().equals("consumer")) {
      // With KIP-848 both are the broker's to say.
      props.put("heartbeat.interval.ms", "1000");
      props.put("session.timeout.ms", "10000");
    }
    props.put("metadata.max.age.ms", "5000");
    props.put("reconnect.backoff.max.ms", "500");
    props.put("key.deserializer", ByteArrayDeserializer.class.getName());
    props.put("value.deserializer", ByteArrayDeserializer.class.getName());
    args.path("props").fields().forEachRemaining(f -> props.put(f.getKey(), f.getValue().asText()));
    return new KafkaConsumer<>(props);
  }

  /** What one member has read of one partition. */
  private static final class Read {
    long first = -1;
    long next = -1;
    final Canon canon = new Canon();
  }

  /**
   * Joins the group, reads until a limit or the end as it stands at the start, commits exactly that far, leaves.
   *
   * <p>A partition at its limit is paused and what was polled beyond the limit is not counted, so the commit may lie in
   * the middle of a batch.
   */
  private static ObjectNode consume(JsonNode args) throws Exception {
    long recordsMax = args.path("records_max").asLong(Long.MAX_VALUE);
    long perPartitionMax = args.path("partition_records_max").asLong(Long.MAX_VALUE);
    long deadline = System.nanoTime() + args.path("timeout_ms").asLong(120_000) * 1_000_000;
    Map<TopicPartition, Read> reads = new TreeMap<>(ORDER);
    try (KafkaConsumer<byte[], byte[]> consumer = member(args)) {
      consumer.subscribe(Topics.texts(args.get("topics")));
      Map<TopicPartition, Long> ends = Map.of();
      Map<TopicPartition, Long> startPositions = new TreeMap<>(ORDER);
      long total = 0;
      boolean done = false;
      while (!done) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("group " + args.get("group") + " did not reach the end in time; it has "
              + consumer.assignment());
        }
        ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
        if (consumer.assignment().isEmpty()) {
          continue;
        }
        if (!ends.keySet().equals(consumer.assignment())) {
          ends = consumer.endOffsets(consumer.assignment());
        }
        for (ConsumerRecord<byte[], byte[]> record : batch) {
          TopicPartition partition = new TopicPartition(record.topic(), record.partition());
          Read read = reads.computeIfAbsent(partition, p -> new Read());
          if (total >= recordsMax || read.canon.count >= perPartitionMax || record.offset() >= ends.get(partition)) {
            continue;
          }
          if (read.first < 0) {
            read.first = record.offset();
          }
          read.next = record.offset() + 1;
          read.canon.add(record);
          total++;
        }
        done = true;
        for (TopicPartition partition : consumer.assignment()) {
          long position = consumer.position(partition);
          startPositions.putIfAbsent(partition, position);
          Read read = reads.get(partition);
          boolean full = read != null && read.canon.count >= perPartitionMax;
          if (full) {
            consumer.pause(List.of(partition));
          }
          // Beyond the log's end a consumer stands until its first fetch is refused; then its auto.offset.reset decides.
          boolean stray = read == null && position > consumer.endOffsets(List.of(partition)).get(partition);
          done &= full || (position >= ends.get(partition) && !stray);
        }
        done |= total >= recordsMax;
      }
      Map<TopicPartition, OffsetAndMetadata> commits = new TreeMap<>(ORDER);
      ObjectNode answer = Agent.JSON.createObjectNode().put("count", total);
      ArrayNode rows = answer.putArray("partitions");
      for (TopicPartition partition : consumer.assignment().stream().sorted(ORDER).toList()) {
        Read read = reads.getOrDefault(partition, new Read());
        long position = consumer.position(partition);
        boolean limited = read.canon.count >= perPartitionMax || total >= recordsMax;
        long next = limited ? (read.next >= 0 ? read.next : startPositions.get(partition))
            : Math.min(position, ends.get(partition));
        if (limited && read.next < 0) {
          OffsetAndMetadata before = consumer.committed(java.util.Set.of(partition)).get(partition);
          next = before == null ? -1 : before.offset();
        }
        if (next >= 0) {
          commits.put(partition, new OffsetAndMetadata(next, args.path("metadata").asText("")));
        }
        ObjectNode row = rows.addObject().put("topic", partition.topic()).put("partition", partition.partition())
            .put("first", read.first).put("next", next).put("end", ends.get(partition));
        read.canon.finish(row);
      }
      if (args.path("commit").asBoolean(true)) {
        consumer.commitSync(commits);
      }
      return answer;
    }
  }

  /** Keeps a member in the group, reading nothing and committing what it is told to, until {@code group_hold_stop}. */
  private static ObjectNode hold(JsonNode args) throws Exception {
    KafkaConsumer<byte[], byte[]> consumer = member(args);
    CountDownLatch assigned = new CountDownLatch(1);
    Queue<Commit> commits = new ConcurrentLinkedQueue<>();
    Thread thread = new Thread(() -> {
      try (consumer) {
        consumer.subscribe(Topics.texts(args.get("topics")), new PauseAll(consumer, assigned));
        while (true) {
          consumer.poll(Duration.ofMillis(100));
          for (Commit commit = commits.poll(); commit != null; commit = commits.poll()) {
            try {
              consumer.commitSync(commit.offsets());
              commit.done().complete(null);
            } catch (RuntimeException refused) {
              commit.done().completeExceptionally(refused);
            }
          }
        }
      } catch (org.apache.kafka.common.errors.WakeupException released) {
        // group_hold_stop
      }
    });
    thread.start();
    if (!assigned.await(60, TimeUnit.SECONDS)) {
      consumer.wakeup();
      throw new IllegalStateException("the member got no partitions in 60 s");
    }
    HELD.put(held(args), new Held(thread, consumer, commits));
    return Agent.JSON.createObjectNode();
  }

  private static String held(JsonNode args) {
    return args.get("bootstrap").asText() + "/" + args.get("group").asText();
  }

  /** Commits as the member that is held. */
  private static ObjectNode commitAsMember(JsonNode args) throws Exception {
    Held held = HELD.get(held(args));
    if (held == null) {
      throw new IllegalArgumentException("no member of " + args.get("group") + " is held");
    }
    Commit commit = new Commit(offsets(args), new CompletableFuture<>());
    held.commits().add(commit);
    commit.done().get(30, TimeUnit.SECONDS);
    return Agent.JSON.createObjectNode();
  }

  private record PauseAll(KafkaConsumer<byte[], byte[]> consumer, CountDownLatch assigned)
      implements org.apache.kafka.clients.consumer.ConsumerRebalanceListener {
    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      consumer.pause(partitions);
      assigned.countDown();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
  }

  private static ObjectNode release(JsonNode args) throws Exception {
    Held held = HELD.remove(held(args));
    if (held == null) {
      throw new IllegalArgumentException("no member of " + args.get("group") + " is held");
    }
    held.consumer().wakeup();
    held.thread().join(30_000);
    return Agent.JSON.createObjectNode();
  }
}
