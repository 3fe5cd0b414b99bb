import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/** Producers that go on until they are told to stop, and count what was acknowledged. */
final class Live {
  private static final Map<String, Live> RUNNING = new ConcurrentHashMap<>();

  static void register(Map<String, Agent.Command> commands) {
    commands.put("live_start", args -> {
      String name = args.get("name").asText();
      Live live = new Live(args);
      if (RUNNING.putIfAbsent(name, live) != null) {
        throw new IllegalArgumentException("a live producer of this name is running: " + name);
      }
      live.thread.start();
      return live.totals();
    });
    commands.put("live_pause", args -> find(args).pause());
    commands.put("live_resume", args -> find(args).resume());
    commands.put("live_totals", args -> find(args).totals());
    commands.put("live_stop", args -> {
      Live live = find(args);
      RUNNING.remove(args.get("name").asText());
      return live.stop();
    });
  }

  private static Live find(JsonNode args) {
    Live live = RUNNING.get(args.get("name").asText());
    if (live == null) {
      throw new IllegalArgumentException("no live producer of this name: " + args.get("name").asText());
    }
    return live;
  }

  private static final class Acked {
    long count;
    long lastOffset = -1;
  }

  private final KafkaProducer<byte[], byte[]> producer;
  private final Records records;
  private final List<TopicPartition> partitions = new ArrayList<>();
  private final double rate;
  private final Thread thread;
  private final Map<TopicPartition, Acked> acked = new TreeMap<>(Groups.ORDER);
  private long refused;
  private String refusal;
  private boolean paused;
  private boolean resting;
  private boolean stopped;

  private Live(JsonNode args) {
    producer = Records.producer(args);
    records = new Records(args);
    rate = args.path("records_per_second").asDouble(100);
    for (String topic : Topics.texts(args.get("topics"))) {
      producer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
    }
    thread = new Thread(this::run, "live-" + args.get("name").asText());
    thread.setDaemon(true);
  }

  private void run() {
    long[] seqs = new long[partitions.size()];
    int turn = 0;
    double due = 0;
    long last = System.nanoTime();
    while (true) {
      synchronized (this) {
        while (paused && !stopped) {
          resting = true;
          notifyAll();
          await();
          last = System.nanoTime();
          due = 0;
        }
        resting = stopped;
        if (stopped) {
          notifyAll();
          return;
        }
      }
      long now = System.nanoTime();
      // After a stall the lost time is not made up for by more than a second's worth.
      due = Math.min(due + (now - last) * rate / 1e9, rate + 1);
      last = now;
      for (; due >= 1; due--) {
        TopicPartition partition = partitions.get(turn);
        producer.send(records.next(partition.topic(), partition.partition(), seqs[turn]++), (metadata, error) -> {
          synchronized (this) {
            if (error != null) {
              refused++;
              refusal = error.toString();
            } else {
              Acked mine = acked.computeIfAbsent(partition, p -> new Acked());
              mine.count++;
              mine.lastOffset = Math.max(mine.lastOffset, metadata.offset());
            }
          }
        });
        turn = (turn + 1) % partitions.size();
        synchronized (this) {
          if (paused || stopped) {
            break;
          }
        }
      }
      try {
        Thread.sleep(5);
      } catch (InterruptedException never) {
        return;
      }
    }
  }

  private void await() {
    try {
      wait();
    } catch (InterruptedException never) {
      throw new IllegalStateException(never);
    }
  }

  /** Stops sending; answers when everything sent has been acknowledged or refused. */
  private ObjectNode pause() {
    synchronized (this) {
      paused = true;
      notifyAll();
      while (!resting) {
        await();
      }
    }
    producer.flush();
    return totals();
  }

  private synchronized ObjectNode resume() {
    paused = false;
    resting = false;
    notifyAll();
    return totals();
  }

  private ObjectNode stop() throws InterruptedException {
    synchronized (this) {
      stopped = true;
      notifyAll();
    }
    thread.join();
    producer.flush();
    producer.close();
    return totals();
  }

  private synchronized ObjectNode totals() {
    ObjectNode answer = Agent.JSON.createObjectNode();
    ArrayNode rows = answer.putArray("partitions");
    long count = 0;
    for (Map.Entry<TopicPartition, Acked> entry : acked.entrySet()) {
      rows.addObject().put("topic", entry.getKey().topic()).put("partition", entry.getKey().partition())
          .put("count", entry.getValue().count).put("last_offset", entry.getValue().lastOffset);
      count += entry.getValue().count;
    }
    return answer.put("acked", count).put("refused", refused).put("refusal", refusal);
  }
}
