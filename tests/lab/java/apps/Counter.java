import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * A Kafka Streams application: {@code Counter PROPERTIES INPUT OUTPUT} counts records by their value.
 *
 * <p>The key of an order is its number and its value the customer: counted by customer, it goes through a repartition
 * topic, and the counts lie in a store with a changelog. Every order gives one count, so that nothing that is lost or
 * counted twice stays hidden behind a later one. It runs until SIGTERM, and ends with 1 where it cannot go on.
 */
public final class Counter {
  public static void main(String[] argv) throws Exception {
    Properties props = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(argv[0]))) {
      props.load(reader);
    }
    Serde<String> text = Serdes.String();
    StreamsBuilder topology = new StreamsBuilder();
    topology.stream(argv[1], Consumed.with(text, text))
        .selectKey((order, customer) -> customer)
        .groupByKey(Grouped.with("by-customer", text, text))
        .count(Materialized.as("counts"))
        .toStream()
        .mapValues(String::valueOf)
        .to(argv[2], Produced.with(text, text));
    KafkaStreams streams = new KafkaStreams(topology.build(), props);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
      return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
  }
}
