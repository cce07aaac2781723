import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A department's texts become tickets, each once: java -cp CLASSPATH Tickets.java BROKERS TOPIC GROUP DATABASE
 *
 * <p>A text may come twice and the program may be killed at any time. So the ticket's key is ce_id, the ticket is on
 * disk before the offset is committed, and a ticket that is there already is left alone.
 */
class Tickets {
  public static void main(String[] args) throws Exception {
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", args[0],
        "group.id", args[2],
        "auto.offset.reset", "earliest", // a new group begins with the oldest text
        "enable.auto.commit", false, // we say when a text is done with
        "session.timeout.ms", 10_000); // after a crash the next one begins within 10 s
    var json = new ObjectMapper();
    try (var tickets = DriverManager.getConnection("jdbc:sqlite:" + args[3]);
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
      tickets.createStatement().execute("CREATE TABLE IF NOT EXISTS tickets"
          + " (ce_id TEXT PRIMARY KEY, received_at TEXT, sender TEXT, text TEXT)");
      // Your work, in one transaction with the note that it is done; 0 rows if it was done before.
      var work = tickets.prepareStatement("INSERT INTO tickets VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
      consumer.subscribe(List.of(args[1]));
      while (true) {
        for (var message : consumer.poll(Duration.ofSeconds(1))) {
          String id = header(message.headers().lastHeader("ce_id").value());
          String type = header(message.headers().lastHeader("ce_type").value());
          if (!type.endsWith(".v1")) {
            throw new IllegalStateException(type + " is newer than this program"); // not committed: nothing is skipped
          }
          if (type.endsWith(".message.received.v1") || type.endsWith(".message.addendum.v1")) {
            var record = json.readTree(message.value());
            work.setString(1, id);
            work.setString(2, record.get("received_at").asText());
            work.setString(3, record.get("from").asText());
            work.setString(4, record.get("text").asText());
            System.out.println((work.executeUpdate() == 1 ? "new " : "known ") + id);
          }
          var next = new OffsetAndMetadata(message.offset() + 1);
          consumer.commitSync(Map.of(new TopicPartition(message.topic(), message.partition()), next)); // after the work
        }
      }
    }
  }

  private static String header(byte[] value) {
    return new String(value, StandardCharsets.UTF_8);
  }
}
