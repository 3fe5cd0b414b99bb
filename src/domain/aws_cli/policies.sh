
# --- The policy of the role that kferry runs under -------------------------------------------------------------------------

# Characters without white space that all inline policies of one role may have together.
readonly INLINE_POLICY_MAX=10240

policies() {
  [[ -n "$KFERRY_ROLE_NAME" ]] || die "KFERRY_ROLE_NAME is not set: the role that kferry runs under (an instance's, a task's, or one that people assume)"
  local policy="$HERE/iam-policy-concrete.json" size
  [[ -f "$policy" ]] || die "$policy is not there; kferry plan writes it beside this script"
  size="$(tr -d '[:space:]' <"$policy" | wc -c | tr -d '[:space:]')"
  if ((size > INLINE_POLICY_MAX)); then
    die "$policy has $size characters and a role takes $INLINE_POLICY_MAX: name topics and groups by prefixes as in iam-policy-templated.json, or attach it in parts"
  fi
  found 'NoSuchEntity' aws iam get-role --role-name "$KFERRY_ROLE_NAME" --query Role.Arn --output text ||
    die "role $KFERRY_ROLE_NAME does not exist; who may assume it depends on where kferry runs, so that you have to make it"
  say "role $ANSWER gets the policy $POLICY_NAME, $size characters"
  confirmed "An earlier policy of that name is replaced." || return 0
  change aws iam put-role-policy --role-name "$KFERRY_ROLE_NAME" --policy-name "$POLICY_NAME" --policy-document "file://$policy"
}
