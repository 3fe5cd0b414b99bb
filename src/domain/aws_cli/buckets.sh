
# --- Buckets ---------------------------------------------------------------------------------------------------------------

# Servers that are not AWS's may lack a feature; of AWS every error counts.
# Usage: setting DESCRIPTION COMMAND…
setting() {
  local description="$1"
  shift
  if [[ -z "$ENDPOINT" ]]; then
    change "$@"
  elif ! change "$@" 2>"$SCRATCH/error"; then
    if grep -qE 'NotImplemented|MethodNotAllowed|not implemented|XNotImplemented' "$SCRATCH/error"; then
      warn "$ENDPOINT has no $description; go without, or see to it in its own way"
    else
      cat "$SCRATCH/error" >&2
      die "cannot go on: $*"
    fi
  fi
}

# What a read-only question answers where a server does not have the thing at all.
readonly NO_SUCH_SETTING='(NoSuch (NotFound (NotImplemented) (MethodNotAllowed)'

# Usage: use_store REGION ENDPOINT; the endpoint is empty for AWS's own.
S3=()
ENDPOINT=
use_store() {
  [[ -n "$1" ]] || die "no Region is known; set AWS_REGION, or region in the configuration, and plan again"
  ENDPOINT="$2"
  S3=(aws s3api --region "$1")
  if [[ -n "$ENDPOINT" ]]; then
    S3+=(--endpoint-url "$ENDPOINT")
  fi
}

# Buckets that this run has made, each with its endpoint. What others may rely on is set on these only.
MADE=()
made() {
  local bucket
  # An empty array is unset to bash before 4.4.
  for bucket in ${MADE[@]+"${MADE[@]}"}; do
    if [[ "$bucket" == "$ENDPOINT $1" ]]; then
      return 0
    fi
  done
  return 1
}

# A command for a person to run.
by_hand() {
  {
    printf ' '
    printf ' %q' "$@"
    printf '\n'
  } >&2
}

# Usage: ensure_bucket NAME REGION LOCKED(yes|no)
ensure_bucket() {
  local name="$1" region="$2" locked="$3"
  if made "$name"; then
    return 0
  fi
  if found '(404) (NotFound) (NoSuchBucket)' "${S3[@]}" head-bucket --bucket "$name"; then
    say "bucket $name is there already"
  else
    local arguments=(create-bucket --bucket "$name")
    # us-east-1 is the one Region that must not be named.
    if [[ "$region" != us-east-1 ]]; then
      arguments+=(--create-bucket-configuration "LocationConstraint=$region")
    fi
    if [[ "$locked" == yes ]]; then
      arguments+=(--object-lock-enabled-for-bucket)
    fi
    change "${S3[@]}" "${arguments[@]}"
    MADE+=("$ENDPOINT $name")
    if [[ "$DRY_RUN" == no && -z "$ENDPOINT" ]]; then
      "${S3[@]}" wait bucket-exists --bucket "$name"
    fi
  fi
}

# Nobody outside gets at it, whatever policies and ACLs say later.
ensure_private() {
  local name="$1"
  if found "$NO_SUCH_SETTING" "${S3[@]}" get-public-access-block --bucket "$name" \
    --query 'PublicAccessBlockConfiguration.[BlockPublicAcls,IgnorePublicAcls,BlockPublicPolicy,RestrictPublicBuckets]' --output text &&
    [[ "$ANSWER" != *False* ]]; then
    say "bucket $name: public access is blocked already"
  else
    setting "block of public access" "${S3[@]}" put-public-access-block --bucket "$name" \
      --public-access-block-configuration 'BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true'
  fi
}

# The default key of a bucket just made; kferry names the key with each write besides.
ensure_encrypted() {
  local name="$1" key="$2"
  if [[ -z "$key" ]]; then
    return 0
  fi
  if ! made "$name"; then
    say "bucket $name: its default encryption is left as it is; kferry names $key with each write"
    return 0
  fi
  local rule='ServerSideEncryptionConfiguration.Rules[0]'
  found "$NO_SUCH_SETTING (ServerSideEncryptionConfigurationNotFoundError)" "${S3[@]}" get-bucket-encryption --bucket "$name" \
    --query "$rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID" --output text || true
  case "$ANSWER" in
    "$key") say "bucket $name is encrypted with $key already" ;;
    '' | None)
      setting "server-side encryption" "${S3[@]}" put-bucket-encryption --bucket "$name" --server-side-encryption-configuration \
        "{\"Rules\":[{\"ApplyServerSideEncryptionByDefault\":{\"SSEAlgorithm\":\"aws:kms\",\"KMSMasterKeyID\":\"$key\"},\"BucketKeyEnabled\":true}]}"
      ;;
    *) warn "bucket $name is encrypted with $ANSWER by default; that is left, and kferry names $key with each write" ;;
  esac
}

# Segments go after their time, with their earlier versions; proofs stay; what an interrupted upload leaves goes after a week.
# A configuration is put whole: all rules that are there are put again, but for an earlier pair of this migration's.
# Usage: ensure_lifecycle NAME UPLOADS_PREFIX SEGMENTS_PREFIX DAYS MIGRATION; the prefixes are written as within JSON.
ensure_lifecycle() {
  local name="$1" uploads="kferry-uploads-$5" segments="kferry-segments-$5" others='' rules
  local question=("${S3[@]}" get-bucket-lifecycle-configuration --bucket "$name")
  rules="{\"ID\":\"$uploads\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"$2\"},\"AbortIncompleteMultipartUpload\":{\"DaysAfterInitiation\":7}}"
  rules="$rules,{\"ID\":\"$segments\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"$3\"},\"Expiration\":{\"Days\":$4},\"NoncurrentVersionExpiration\":{\"NoncurrentDays\":1}}"
  local arguments=(put-bucket-lifecycle-configuration --bucket "$name" --lifecycle-configuration "file://$SCRATCH/lifecycle.json")
  # A rule of the old form has its prefix outside a filter, and S3 does not take both forms together.
  if found "$NO_SUCH_SETTING" "${question[@]}" --query 'Rules[?Prefix!=null].[ID]' --output text; then
    first
    if [[ -n "$ANSWER" ]]; then
      warn "bucket $name has a lifecycle rule of the old form ($ANSWER), which cannot stand beside new ones: nothing is changed; rewrite it with a Filter, or add these yourself:"
      printf '  [%s]\n' "$rules" >&2
      return 0
    fi
    found '' "${question[@]}" --query "Rules[?ID!='$uploads' && ID!='$segments']" --output json
    # Without the brackets around it.
    others="${ANSWER#*[}"
    others="${others%]*}"
    if [[ "$others" == *[![:space:]]* ]]; then
      others="$others,"
    fi
    found '' "${question[@]}" --query TransitionDefaultMinimumObjectSize --output text
    # What is not said again falls back to the default.
    if [[ "$ANSWER" == varies_by_storage_class ]]; then
      arguments+=(--transition-default-minimum-object-size "$ANSWER")
    fi
  fi
  printf '{"Rules":[%s%s]}\n' "$others" "$rules" >"$SCRATCH/lifecycle.json"
  setting "lifecycle" "${S3[@]}" "${arguments[@]}"
  say "  lifecycle.json, with the rules that are there already:"
  sed 's/^/  /' "$SCRATCH/lifecycle.json"
}

ensure_versions() {
  local name="$1"
  local arguments=("${S3[@]}" put-bucket-versioning --bucket "$name" --versioning-configuration Status=Enabled)
  if found "$NO_SUCH_SETTING" "${S3[@]}" get-bucket-versioning --bucket "$name" --query Status --output text && [[ "$ANSWER" == Enabled ]]; then
    say "bucket $name keeps versions already"
  elif made "$name"; then
    setting "versioning" "${arguments[@]}"
  else
    warn "bucket $name was there before and keeps no versions; that is left, since it concerns everybody who writes there. To have them, run by hand:"
    by_hand "${arguments[@]}"
  fi
}

# COMPLIANCE: until its time is over nobody can delete a version, not even the account's root. Therefore only a bucket just made gets
# Object Lock and a default retention here. DAYS may be empty: then no default is set.
ensure_locked() {
  local name="$1" days="$2"
  local configuration='{"ObjectLockEnabled":"Enabled"}'
  if [[ -n "$days" ]]; then
    configuration="{\"ObjectLockEnabled\":\"Enabled\",\"Rule\":{\"DefaultRetention\":{\"Mode\":\"COMPLIANCE\",\"Days\":$days}}}"
  fi
  local put=("${S3[@]}" put-object-lock-configuration --bucket "$name" --object-lock-configuration)
  local retention='ObjectLockConfiguration.[ObjectLockEnabled,Rule.DefaultRetention.Mode,Rule.DefaultRetention.Days]'
  found '(ObjectLockConfigurationNotFoundError) (NoSuchBucket)' "${S3[@]}" get-object-lock-configuration --bucket "$name" --query "$retention" --output text || true
  case "$ANSWER" in
    $'Enabled\tCOMPLIANCE\t'"${days:-none}") say "bucket $name is locked for $days days already" ;;
    '' | $'Enabled\tNone\tNone')
      if [[ -n "$ANSWER" && -z "$days" ]]; then
        say "bucket $name has Object Lock already"
      elif made "$name"; then
        setting "Object Lock" "${put[@]}" "$configuration"
      elif [[ -z "$ANSWER" ]]; then
        warn "bucket $name was there before and has no Object Lock, which evidence.object_lock asks for; that is left, since it cannot be undone. Name another bucket, or see that it keeps versions and run by hand:"
        by_hand "${put[@]}" '{"ObjectLockEnabled":"Enabled"}'
      else
        warn "bucket $name was there before and has no default retention; that is left, since it would lock what anybody writes there, and kferry locks each bundle itself. If the bucket is kferry's alone, you can run by hand:"
        by_hand "${put[@]}" "$configuration"
      fi
      ;;
    *) warn "bucket $name has a default retention of its own ($ANSWER), which is left; kferry asks for COMPLIANCE with each bundle" ;;
  esac
}
