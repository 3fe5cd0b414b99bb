
# --- The target cluster ----------------------------------------------------------------------------------------------------

# Usage: json_list NAME COMMA_SEPARATED PATTERN; prints a JSON array of strings, each of which matches.
json_list() {
  local name="$1" items="$2" pattern="$3" item list=''
  local IFS=,
  for item in $items; do
    [[ "$item" =~ $pattern ]] || die "$name: $item does not look like one"
    list="$list${list:+,}\"$item\""
  done
  printf '[%s]' "$list"
}

number() { [[ "$2" =~ ^[1-9][0-9]*$ ]] || die "$1 is no whole number: $2"; }

cluster() {
  local name
  for name in CLIENT_SUBNETS SECURITY_GROUPS BROKER_INSTANCE_TYPE CLUSTER_REGION; do
    [[ -n "${!name}" ]] || die "$name is not set; see the top of this script"
  done
  number BROKER_COUNT "$BROKER_COUNT"
  number EBS_GIB_PER_BROKER "$EBS_GIB_PER_BROKER"
  [[ "$BROKER_INSTANCE_TYPE" =~ ^(kafka|express)\.[a-z0-9]+\.[a-z0-9]+$ ]] || die "BROKER_INSTANCE_TYPE does not look like one: $BROKER_INSTANCE_TYPE"
  [[ "$KAFKA_VERSION" == *.kraft ]] || die "KAFKA_VERSION $KAFKA_VERSION is not one in KRaft mode"
  [[ "$TARGET_CLUSTER_NAME" =~ ^[A-Za-z0-9-]{1,64}$ ]] || die "TARGET_CLUSTER_NAME has letters, digits and hyphens, at most 64: $TARGET_CLUSTER_NAME"
  local subnets groups subnet_count
  subnets="$(json_list CLIENT_SUBNETS "$CLIENT_SUBNETS" '^subnet-[0-9a-f]+$')" || return 1
  groups="$(json_list SECURITY_GROUPS "$SECURITY_GROUPS" '^sg-[0-9a-f]+$')" || return 1
  subnet_count="$(tr -cd , <<<"$CLIENT_SUBNETS" | wc -c)"
  subnet_count=$((subnet_count + 1))
  ((BROKER_COUNT % subnet_count == 0)) || die "BROKER_COUNT $BROKER_COUNT is no multiple of the $subnet_count subnets"

  found '' "${KAFKA[@]}" list-clusters-v2 --cluster-name-filter "$TARGET_CLUSTER_NAME" \
    --query "ClusterInfoList[?ClusterName=='$TARGET_CLUSTER_NAME'].[ClusterArn]" --output text
  first
  local arn="$ANSWER"
  if [[ -n "$arn" ]]; then
    say "cluster $TARGET_CLUSTER_NAME is there already"
  else
    found '' "${KAFKA[@]}" list-kafka-versions --query "KafkaVersions[?Version=='$KAFKA_VERSION' && Status=='ACTIVE'].[Version]" --output text
    first
    [[ "$ANSWER" == "$KAFKA_VERSION" ]] || die "MSK does not offer $KAFKA_VERSION in $CLUSTER_REGION; aws kafka list-kafka-versions shows what it does"
    say "cluster $TARGET_CLUSTER_NAME: $BROKER_COUNT brokers $BROKER_INSTANCE_TYPE with $EBS_GIB_PER_BROKER GiB each, Kafka $KAFKA_VERSION, in $CLUSTER_REGION; it is paid for from its first hour"
    say "settings, from the source's brokers:"
    server_properties | sed 's/^/  /'
    confirmed "This takes about half an hour." || return 0
    local configuration
    configuration="$(ensure_configuration)" || return 1
    provisioned "$subnets" "$groups" "$configuration" >"$SCRATCH/provisioned.json" || return 1
    change "${KAFKA[@]}" create-cluster-v2 --cluster-name "$TARGET_CLUSTER_NAME" --provisioned "file://$SCRATCH/provisioned.json" --query ClusterArn --output text
    if [[ "$DRY_RUN" == yes ]]; then
      sed 's/^/  /' "$SCRATCH/provisioned.json"
      return 0
    fi
    arn="$(cat "$SCRATCH/answer")"
  fi
  wait_until_active "$arn"
  say "its ARN, for target.cluster_arn: $arn"
  say "its bootstrap servers, for target.bootstrap_servers:"
  "${KAFKA[@]}" get-bootstrap-brokers --cluster-arn "$arn"
  say "once its ACLs are there, set allow.everyone.if.no.acl.found=false in its configuration: MSK's default lets everybody at what has none"
}

# Makes the configuration where it does not exist; prints the member of create-cluster-v2's request that names it.
ensure_configuration() {
  found '' "${KAFKA[@]}" list-configurations --query "Configurations[?Name=='$CONFIGURATION_NAME'].[Arn,LatestRevision.Revision]" --output text
  first
  if [[ -z "$ANSWER" ]]; then
    server_properties >"$SCRATCH/server.properties" || return 1
    change "${KAFKA[@]}" create-configuration --name "$CONFIGURATION_NAME" --kafka-versions "$KAFKA_VERSION" \
      --server-properties "fileb://$SCRATCH/server.properties" --query '[Arn,LatestRevision.Revision]' --output text >&2 || return 1
    ANSWER='CONFIGURATION_ARN 1'
    if [[ "$DRY_RUN" == no ]]; then
      ANSWER="$(cat "$SCRATCH/answer")" || return 1
    fi
  else
    say "configuration $CONFIGURATION_NAME is there already; its latest revision is used as it is" >&2
  fi
  local arn revision
  read -r arn revision <<<"$ANSWER"
  [[ -n "$arn" && "$revision" =~ ^[0-9]+$ ]] || die "configuration $CONFIGURATION_NAME: no ARN and revision in MSK's answer: $ANSWER"
  printf '{"Arn":"%s","Revision":%s}' "$arn" "$revision"
}

# Usage: provisioned SUBNETS GROUPS CONFIGURATION
provisioned() {
  local storage="\"StorageInfo\":{\"EbsStorageInfo\":{\"VolumeSize\":$EBS_GIB_PER_BROKER}}" at_rest='' authentication
  # Within the text below its failure would go unnoticed.
  authentication="$(client_authentication)" || return 1
  # Express brokers bring their own storage.
  if [[ "$BROKER_INSTANCE_TYPE" == express.* ]]; then
    storage=''
  fi
  if [[ -n "$CLUSTER_KMS_KEY_ARN" ]]; then
    at_rest=",\"EncryptionAtRest\":{\"DataVolumeKMSKeyId\":\"$CLUSTER_KMS_KEY_ARN\"}"
  fi
  cat <<JSON
{
  "BrokerNodeGroupInfo": {"InstanceType": "$BROKER_INSTANCE_TYPE", "ClientSubnets": $1, "SecurityGroups": $2${storage:+, $storage}},
  "ClientAuthentication": $authentication,
  "ConfigurationInfo": $3,
  "EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "$CLIENT_BROKER", "InCluster": true}$at_rest},
  "KafkaVersion": "$KAFKA_VERSION",
  "NumberOfBrokerNodes": $BROKER_COUNT
}
JSON
}

wait_until_active() {
  local state
  while true; do
    state="$("${KAFKA[@]}" describe-cluster-v2 --cluster-arn "$1" --query ClusterInfo.State --output text)"
    case "$state" in
      ACTIVE) return 0 ;;
      FAILED | DELETING) die "cluster $1 is $state" ;;
      *) say "cluster $1 is $state; waiting" ;;
    esac
    sleep 30
  done
}
