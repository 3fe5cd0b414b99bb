import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The lab's stock Java clients behind one pipe: a JSON command per line in, a JSON answer per line out.
 *
 * <p>Every command carries an {@code id} and runs on a thread of its own, so answers come in any order. It ends when
 * its standard input ends.
 */
public final class Agent {
  static final ObjectMapper JSON = new ObjectMapper();

  interface Command {
    ObjectNode run(JsonNode args) throws Exception;
  }

  private static final Map<String, Command> COMMANDS = new LinkedHashMap<>();

  public static void main(String[] argv) throws Exception {
    // Whatever a library prints must not get between the answers.
    PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Topics.register(COMMANDS);
    Users.register(COMMANDS);
    Groups.register(COMMANDS);
    Load.register(COMMANDS);
    Live.register(COMMANDS);
    Transactions.register(COMMANDS);
    Judge.register(COMMANDS);
    Readers.register(COMMANDS);
    RandomLogs.register(COMMANDS);
    COMMANDS.put("ping", args -> JSON.createObjectNode());

    ExecutorService threads = Executors.newCachedThreadPool();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode request = JSON.readTree(line);
      threads.execute(() -> {
        ObjectNode answer = answer(request);
        synchronized (answers) {
          answers.println(answer);
        }
      });
    }
    Runtime.getRuntime().halt(0);
  }

  private static ObjectNode answer(JsonNode request) {
    ObjectNode answer = JSON.createObjectNode();
    answer.set("id", request.get("id"));
    String name = request.path("cmd").asText();
    try {
      Command command = COMMANDS.get(name);
      if (command == null) {
        throw new IllegalArgumentException("no such command: " + name);
      }
      answer.set("ok", command.run(request));
    } catch (Throwable error) {
      Throwable cause = error;
      while (cause instanceof java.util.concurrent.ExecutionException && cause.getCause() != null) {
        cause = cause.getCause();
      }
      System.err.println("command " + name + " failed");
      error.printStackTrace(System.err);
      answer.put("error", cause.toString());
    }
    return answer;
  }
}
