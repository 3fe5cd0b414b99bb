
usage() {
  printf 'usage: %s [--yes] [--dry-run] [--only buckets|policies|cluster]\n' "$0"
  printf '  --yes      do not ask before each step\n'
  printf '  --dry-run  look at what is there, print what would be changed, change nothing\n'
  printf '  --only     one step; may be given several times\n'
}

YES=no
DRY_RUN=no
STEPS=
while (($# > 0)); do
  case "$1" in
    --yes) YES=yes ;;
    --dry-run) DRY_RUN=yes ;;
    --only)
      case "${2:-}" in
        buckets | policies | cluster) STEPS="$STEPS $2" ;;
        *)
          usage >&2
          exit 2
          ;;
      esac
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done
STEPS="${STEPS:- buckets policies cluster}"

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
SCRATCH="$(mktemp -d)"
trap 'rm -rf "$SCRATCH"' EXIT

say() { printf '%s\n' "$*"; }

warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

wanted() { [[ "$STEPS" == *" $1"* ]]; }

# Whether the step is to be done: asks a person, unless --yes or --dry-run was given.
confirmed() {
  if [[ "$YES" == yes || "$DRY_RUN" == yes ]]; then
    return 0
  fi
  [[ -t 0 ]] || die "nobody can be asked here; look at what --dry-run says, then give --yes"
  local answer
  read -r -p "$1 Type yes to go on: " answer
  [[ "$answer" == yes ]]
}

# Prints a command that changes something, and runs it unless this is a dry run.
change() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  if [[ "$DRY_RUN" == no ]]; then
    "$@" >"$SCRATCH/answer"
  fi
}

# Runs a command that only reads. Its answer is in ANSWER; false where the thing that it asks for does not exist (its error has one
# of the codes of the first argument in it, as the CLI writes them). Any other error ends the script.
ANSWER=
found() {
  local absent="$1" word
  shift
  if ANSWER="$("$@" 2>"$SCRATCH/error")"; then
    return 0
  fi
  for word in $absent; do
    if grep -qF -- "$word" "$SCRATCH/error"; then
      ANSWER=
      return 1
    fi
  done
  cat "$SCRATCH/error" >&2
  die "cannot go on: $*"
}

# Leaves of ANSWER the first line that says something. As text the CLI answers page by page: one without the thing gives nothing, or None.
first() {
  local line
  while IFS= read -r line; do
    if [[ -n "$line" && "$line" != None ]]; then
      ANSWER="$line"
      return 0
    fi
  done <<<"$ANSWER"
  ANSWER=
}

command -v aws >/dev/null || die "the AWS CLI is not there; see https://docs.aws.amazon.com/cli/"
