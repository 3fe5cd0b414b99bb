import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialAlteration;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Topics, their settings and offsets, and ACLs: what the admin client does. */
final class Topics {
  private static final Map<String, Admin> ADMINS = new ConcurrentHashMap<>();

  static Admin admin(JsonNode args) {
    return admin(args.get("bootstrap").asText());
  }

  static Admin admin(String bootstrap) {
    return ADMINS.computeIfAbsent(bootstrap, b -> Admin.create(Map.of(
        "bootstrap.servers", b, "default.api.timeout.ms", "60000", "request.timeout.ms", "20000",
        "reconnect.backoff.max.ms", "500", "metadata.max.age.ms", "5000")));
  }

  static void register(Map<String, Agent.Command> commands) {
    commands.put("create_topics", Topics::createTopics);
    commands.put("delete_topics", Topics::deleteTopics);
    commands.put("list_topics", Topics::listTopics);
    commands.put("describe_topics", Topics::describeTopics);
    commands.put("delete_records", Topics::deleteRecords);
    commands.put("add_partitions", Topics::addPartitions);
    commands.put("alter_configs", Topics::alterConfigs);
    commands.put("topic_configs", Topics::topicConfigs);
    commands.put("create_acls", Topics::createAcls);
    commands.put("delete_acls", Topics::deleteAcls);
    commands.put("describe_acls", Topics::describeAcls);
    commands.put("alter_quotas", Topics::alterQuotas);
    commands.put("describe_quotas", Topics::describeQuotas);
    commands.put("create_scram_users", Topics::createScramUsers);
    commands.put("offsets", Topics::offsets);
  }

  private static ObjectNode empty() {
    return Agent.JSON.createObjectNode();
  }

  private static Map<String, String> strings(JsonNode object) {
    Map<String, String> map = new LinkedHashMap<>();
    object.fields().forEachRemaining(field -> map.put(field.getKey(), field.getValue().asText()));
    return map;
  }

  private static ObjectNode createTopics(JsonNode args) throws Exception {
    List<NewTopic> topics = new ArrayList<>();
    for (JsonNode topic : args.get("topics")) {
      topics.add(new NewTopic(topic.get("name").asText(), topic.get("partitions").asInt(),
          (short) topic.path("replication").asInt(1)).configs(strings(topic.path("configs"))));
    }
    create(admin(args), topics);
    return empty();
  }

  static void create(Admin admin, List<NewTopic> topics) throws Exception {
    admin.createTopics(topics).all().get();
    // A topic is of use once every partition has a leader that the metadata shows.
    List<String> names = topics.stream().map(NewTopic::name).toList();
    for (int attempt = 0; attempt < 300; attempt++) {
      try {
        boolean led = true;
        Map<String, TopicDescription> described = admin.describeTopics(names).allTopicNames().get();
        for (NewTopic topic : topics) {
          List<TopicPartitionInfo> partitions = described.get(topic.name()).partitions();
          led &= partitions.size() == topic.numPartitions()
              && partitions.stream().allMatch(p -> p.leader() != null && !p.leader().isEmpty());
        }
        if (led) {
          return;
        }
      } catch (java.util.concurrent.ExecutionException notYet) {
        if (!(notYet.getCause() instanceof UnknownTopicOrPartitionException)) {
          throw notYet;
        }
      }
      Thread.sleep(50);
    }
    throw new IllegalStateException("topics have no leaders after 15 s: " + names);
  }

  private static ObjectNode deleteTopics(JsonNode args) throws Exception {
    List<String> names = texts(args.get("topics"));
    admin(args).deleteTopics(names).all().get();
    for (int attempt = 0; attempt < 300; attempt++) {
      if (admin(args).listTopics().names().get().stream().noneMatch(names::contains)) {
        return empty();
      }
      Thread.sleep(50);
    }
    throw new IllegalStateException("topics are still listed 15 s after their deletion: " + names);
  }

  static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(text -> texts.add(text.asText()));
    return texts;
  }

  private static ObjectNode listTopics(JsonNode args) throws Exception {
    ObjectNode answer = empty();
    ArrayNode names = answer.putArray("topics");
    new TreeSet<>(admin(args).listTopics().names().get()).forEach(names::add);
    return answer;
  }

  private static ObjectNode describeTopics(JsonNode args) throws Exception {
    Admin admin = admin(args);
    Collection<String> names = args.path("topics").isArray() ? texts(args.get("topics")) : admin.listTopics(
        new org.apache.kafka.clients.admin.ListTopicsOptions().listInternal(true)).names().get();
    ObjectNode answer = empty();
    ArrayNode rows = answer.putArray("partitions");
    Map<String, TopicDescription> topics = new TreeMap<>(admin.describeTopics(names).allTopicNames().get());
    topics.forEach((name, topic) -> topic.partitions().forEach(partition -> {
      ObjectNode row = rows.addObject();
      row.put("topic", name).put("topic_id", topic.topicId().toString()).put("partition", partition.partition());
      row.put("leader", partition.leader() == null || partition.leader().isEmpty() ? -1 : partition.leader().id());
      ArrayNode replicas = row.putArray("replicas");
      partition.replicas().forEach(node -> replicas.add(node.id()));
      ArrayNode isr = row.putArray("isr");
      partition.isr().forEach(node -> isr.add(node.id()));
    }));
    return answer;
  }

  private static ObjectNode deleteRecords(JsonNode args) throws Exception {
    TopicPartition partition = new TopicPartition(args.get("topic").asText(), args.get("partition").asInt());
    long low = admin(args).deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(args.get("before").asLong())))
        .lowWatermarks().get(partition).get().lowWatermark();
    return empty().put("log_start", low);
  }

  private static ObjectNode addPartitions(JsonNode args) throws Exception {
    admin(args).createPartitions(Map.of(args.get("topic").asText(),
        NewPartitions.increaseTo(args.get("total").asInt()))).all().get();
    return empty();
  }

  private static ObjectNode alterConfigs(JsonNode args) throws Exception {
    ConfigResource resource = args.has("broker")
        ? new ConfigResource(ConfigResource.Type.BROKER, args.get("broker").asText())
        : new ConfigResource(ConfigResource.Type.TOPIC, args.get("topic").asText());
    List<AlterConfigOp> operations = new ArrayList<>();
    strings(args.path("set")).forEach((name, value) ->
        operations.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
    texts(args.path("unset")).forEach(name ->
        operations.add(new AlterConfigOp(new ConfigEntry(name, ""), AlterConfigOp.OpType.DELETE)));
    admin(args).incrementalAlterConfigs(Map.of(resource, operations)).all().get();
    return empty();
  }

  private static ObjectNode topicConfigs(JsonNode args) throws Exception {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, args.get("topic").asText());
    Config config = admin(args).describeConfigs(List.of(resource)).all().get().get(resource);
    ObjectNode answer = empty();
    ObjectNode set = answer.putObject("set");
    ObjectNode effective = answer.putObject("effective");
    for (ConfigEntry entry : config.entries().stream().sorted((a, b) -> a.name().compareTo(b.name())).toList()) {
      effective.put(entry.name(), entry.value());
      if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
        set.put(entry.name(), entry.value());
      }
    }
    return answer;
  }

  private static List<AclBinding> bindings(JsonNode args) {
    List<AclBinding> bindings = new ArrayList<>();
    for (JsonNode acl : args.get("acls")) {
      bindings.add(new AclBinding(
          new ResourcePattern(ResourceType.fromString(acl.get("resource_type").asText()), acl.get("name").asText(),
              PatternType.fromString(acl.path("pattern").asText("LITERAL"))),
          new AccessControlEntry(acl.get("principal").asText(), acl.path("host").asText("*"),
              AclOperation.fromString(acl.get("operation").asText()),
              AclPermissionType.fromString(acl.path("permission").asText("ALLOW")))));
    }
    return bindings;
  }

  private static ObjectNode createAcls(JsonNode args) throws Exception {
    admin(args).createAcls(bindings(args)).all().get();
    return empty();
  }

  private static ObjectNode deleteAcls(JsonNode args) throws Exception {
    admin(args).deleteAcls(bindings(args).stream().map(AclBinding::toFilter).toList()).all().get();
    return empty();
  }

  private static ObjectNode describeAcls(JsonNode args) throws Exception {
    ObjectNode answer = empty();
    ArrayNode rows = answer.putArray("acls");
    List<AclBinding> bindings = new ArrayList<>(admin(args).describeAcls(AclBindingFilter.ANY).values().get());
    bindings.sort((a, b) -> a.toString().compareTo(b.toString()));
    for (AclBinding binding : bindings) {
      rows.addObject().put("resource_type", binding.pattern().resourceType().name())
          .put("name", binding.pattern().name()).put("pattern", binding.pattern().patternType().name())
          .put("principal", binding.entry().principal()).put("host", binding.entry().host())
          .put("operation", binding.entry().operation().name())
          .put("permission", binding.entry().permissionType().name());
    }
    return answer;
  }

  private static ObjectNode alterQuotas(JsonNode args) throws Exception {
    List<ClientQuotaAlteration> alterations = new ArrayList<>();
    for (JsonNode quota : args.get("quotas")) {
      Map<String, String> entity = new java.util.HashMap<>();
      quota.get("entity").fields().forEachRemaining(e -> entity.put(e.getKey(), e.getValue().isNull() ? null : e.getValue().asText()));
      List<ClientQuotaAlteration.Op> ops = new ArrayList<>();
      quota.get("values").fields().forEachRemaining(v ->
          ops.add(new ClientQuotaAlteration.Op(v.getKey(), v.getValue().isNull() ? null : v.getValue().asDouble())));
      alterations.add(new ClientQuotaAlteration(new ClientQuotaEntity(entity), ops));
    }
    admin(args).alterClientQuotas(alterations).all().get();
    return empty();
  }

  private static ObjectNode describeQuotas(JsonNode args) throws Exception {
    ObjectNode answer = empty();
    ArrayNode rows = answer.putArray("quotas");
    admin(args).describeClientQuotas(ClientQuotaFilter.all()).entities().get().forEach((entity, values) -> {
      ObjectNode row = rows.addObject();
      ObjectNode parts = row.putObject("entity");
      entity.entries().forEach(parts::put);
      ObjectNode limits = row.putObject("values");
      values.forEach(limits::put);
    });
    return answer;
  }

  private static ObjectNode createScramUsers(JsonNode args) throws Exception {
    List<UserScramCredentialAlteration> alterations = new ArrayList<>();
    for (JsonNode user : args.get("users")) {
      ScramMechanism mechanism = ScramMechanism.fromMechanismName(user.get("mechanism").asText());
      alterations.add(new UserScramCredentialUpsertion(user.get("user").asText(), new ScramCredentialInfo(mechanism, 4096), "secret"));
    }
    admin(args).alterUserScramCredentials(alterations).all().get();
    return empty();
  }

  /** The partitions of these topics; a topic that is not there has none. */
  static List<TopicPartition> partitions(Admin admin, Collection<String> topics) throws Exception {
    List<TopicPartition> partitions = new ArrayList<>();
    for (Map.Entry<String, org.apache.kafka.common.KafkaFuture<TopicDescription>> topic
        : admin.describeTopics(topics).topicNameValues().entrySet()) {
      try {
        topic.getValue().get().partitions().forEach(p ->
            partitions.add(new TopicPartition(topic.getKey(), p.partition())));
      } catch (java.util.concurrent.ExecutionException error) {
        if (!(error.getCause() instanceof UnknownTopicOrPartitionException)) {
          throw error;
        }
      }
    }
    partitions.sort((a, b) -> a.topic().equals(b.topic())
        ? Integer.compare(a.partition(), b.partition()) : a.topic().compareTo(b.topic()));
    return partitions;
  }

  static Map<TopicPartition, Long> listOffsets(Admin admin, Collection<TopicPartition> partitions, OffsetSpec spec,
      IsolationLevel isolation) throws Exception {
    Map<TopicPartition, OffsetSpec> specs = new HashMap<>();
    partitions.forEach(partition -> specs.put(partition, spec));
    Map<TopicPartition, Long> offsets = new HashMap<>();
    for (Map.Entry<TopicPartition, ListOffsetsResultInfo> entry
        : admin.listOffsets(specs, new ListOffsetsOptions(isolation)).all().get().entrySet()) {
      offsets.put(entry.getKey(), entry.getValue().offset());
    }
    return offsets;
  }

  private static ObjectNode offsets(JsonNode args) throws Exception {
    Admin admin = admin(args);
    Collection<String> topics =
        args.path("topics").isArray() ? texts(args.get("topics")) : admin.listTopics().names().get();
    List<TopicPartition> partitions = partitions(admin, topics);
    Map<TopicPartition, Long> earliest =
        listOffsets(admin, partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED);
    Map<TopicPartition, Long> latest =
        listOffsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
    Map<TopicPartition, Long> stable =
        listOffsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
    ObjectNode answer = empty();
    ArrayNode rows = answer.putArray("partitions");
    for (TopicPartition partition : partitions) {
      rows.addObject().put("topic", partition.topic()).put("partition", partition.partition())
          .put("log_start", earliest.get(partition)).put("log_end", latest.get(partition))
          .put("last_stable", stable.get(partition));
    }
    return answer;
  }
}
