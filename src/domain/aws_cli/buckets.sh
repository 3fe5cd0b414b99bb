
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
readonly NO_SUCH_SETTING='NoSuch NotFound NotImplemented MethodNotAllowed'

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

# Usage: ensure_bucket NAME REGION LOCKED(yes|no)
ensure_bucket() {
  local name="$1" region="$2" locked="$3"
  if found '404 NotFound NoSuchBucket' "${S3[@]}" head-bucket --bucket "$name"; then
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
    if [[ "$DRY_RUN" == no && -z "$ENDPOINT" ]]; then
      "${S3[@]}" wait bucket-exists --bucket "$name"
    fi
  fi
}

# Nobody outside gets at it, whatever policies and ACLs say later.
ensure_private() {
  local name="$1"
  if found "$NO_SUCH_SETTING NoSuchBucket" "${S3[@]}" get-public-access-block --bucket "$name" \
    --query 'PublicAccessBlockConfiguration.[BlockPublicAcls,IgnorePublicAcls,BlockPublicPolicy,RestrictPublicBuckets]' --output text &&
    [[ "$ANSWER" != *False* ]]; then
    say "bucket $name: public access is blocked already"
  else
    setting "block of public access" "${S3[@]}" put-public-access-block --bucket "$name" \
      --public-access-block-configuration 'BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true'
  fi
}

# The bucket's default key; kferry names the key with each write besides.
ensure_encrypted() {
  local name="$1" key="$2"
  if [[ -z "$key" ]]; then
    return 0
  fi
  local rule='ServerSideEncryptionConfiguration.Rules[0]'
  found "$NO_SUCH_SETTING ServerSideEncryptionConfigurationNotFoundError" "${S3[@]}" get-bucket-encryption --bucket "$name" \
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

# Segments go after their time, proofs stay; what an interrupted upload leaves goes after a week.
ensure_lifecycle() {
  local name="$1" prefix="$2" days="$3"
  found "$NO_SUCH_SETTING NoSuchLifecycleConfiguration" "${S3[@]}" get-bucket-lifecycle-configuration --bucket "$name" \
    --query "Rules[?!starts_with(ID, 'kferry-')].ID" --output text || true
  if [[ -n "$ANSWER" && "$ANSWER" != None ]]; then
    warn "bucket $name has lifecycle rules of its own ($ANSWER), which a new configuration would replace; add these yourself: abort multipart uploads after 7 days, expire $prefix after $days days"
    return 0
  fi
  setting "lifecycle" "${S3[@]}" put-bucket-lifecycle-configuration --bucket "$name" --lifecycle-configuration \
    "{\"Rules\":[{\"ID\":\"kferry-uploads\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"\"},\"AbortIncompleteMultipartUpload\":{\"DaysAfterInitiation\":7}},{\"ID\":\"kferry-segments\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"$prefix\"},\"Expiration\":{\"Days\":$days}}]}"
}

ensure_versions() {
  local name="$1"
  if found "$NO_SUCH_SETTING NoSuchBucket" "${S3[@]}" get-bucket-versioning --bucket "$name" --query Status --output text && [[ "$ANSWER" == Enabled ]]; then
    say "bucket $name keeps versions already"
  else
    setting "versioning" "${S3[@]}" put-bucket-versioning --bucket "$name" --versioning-configuration Status=Enabled
  fi
}

# COMPLIANCE: until its time is over nobody can delete a version, not even the account's root. DAYS may be empty: then no default is set.
ensure_locked() {
  local name="$1" days="$2"
  local configuration='{"ObjectLockEnabled":"Enabled"}'
  if [[ -n "$days" ]]; then
    configuration="{\"ObjectLockEnabled\":\"Enabled\",\"Rule\":{\"DefaultRetention\":{\"Mode\":\"COMPLIANCE\",\"Days\":$days}}}"
  fi
  local retention='ObjectLockConfiguration.[ObjectLockEnabled,Rule.DefaultRetention.Mode,Rule.DefaultRetention.Days]'
  found 'ObjectLockConfigurationNotFoundError NoSuchBucket' "${S3[@]}" get-object-lock-configuration --bucket "$name" --query "$retention" --output text || true
  case "$ANSWER" in
    $'Enabled\tCOMPLIANCE\t'"${days:-none}") say "bucket $name is locked for $days days already" ;;
    '' | $'Enabled\tNone\tNone') setting "Object Lock" "${S3[@]}" put-object-lock-configuration --bucket "$name" --object-lock-configuration "$configuration" ;;
    *) warn "bucket $name has a default retention of its own ($ANSWER), which is left; kferry asks for COMPLIANCE with each bundle" ;;
  esac
}
