# Runs the steps of a test run and counts how their parts ended. Sourced by scripts/lint and scripts/test.
#
# The output of each step goes to the terminal as it comes. Counts are read from what the runners report
# (cargo test, node --test, and our own harness); a step that fails without a failed test in it counts as
# one failure itself, so that a broken build is never a pass.

passed=0 failed=0 skipped=0
failures=()
tally_folder=$(mktemp -d "${TMPDIR:-/tmp}/isolab-step.XXXXXX")
tally_log=$tally_folder/log tally_pipe=$tally_folder/pipe
mkfifo "$tally_folder/nothing"
trap 'rm -rf "$tally_folder"' EXIT

# How long the output may stay open after a step's program has ended. What it started and left has its end as an ending of
# its own, a moment later; a process that is still there then has been leaked.
LINGER_SECONDS_MAX=30

# How long one step may take, and until when (in seconds from the run's start) a whole run may go on. A step that takes longer
# is ended, and what it was at is told: a run that somebody else ends says nothing.
STEP_SECONDS_MAX=2400
RUN_SECONDS_MAX=${ISOLAB_RUN_SECONDS_MAX:-86400}

# Adds up what the runners said in file $1; prints "passed failed skipped".
count() {
  awk '
    # cargo: test result: ok. 3 passed; 0 failed; 1 ignored; …
    /^test result: / { p += $4; f += $6; s += $8 }
    # our harness: 3 passed, 0 failed, 1 skipped
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
    # node: "# pass 3" or "ℹ pass 3"
    /^(#|ℹ) pass [0-9]+$/ { p += $3 }
    /^(#|ℹ) (fail|cancelled) [0-9]+$/ { f += $3 }
    /^(#|ℹ) (skipped|todo) [0-9]+$/ { s += $3 }
    # a test that cargo counts as passed, and that says it could not be tried
    /SKIPPED, because / { p -= 1; s += 1 }
    # a whole runner that had nothing to run on, with the reason
    /^SKIPPED all / { s += 1 }
    END { printf "%d %d %d\n", p, f, s }' "$1"
}

# The processes that can still write to the pipe, but for its reader $1: pid and command line.
writers() {
  local process
  for process in /proc/[0-9]*; do
    [ "${process#/proc/}" != "$1" ] && [ "${process#/proc/}" != $$ ] &&
      [ -n "$(find "$process/fd" -lname "$tally_pipe" -print -quit 2>/dev/null)" ] &&
      printf '%s %s\n' "${process#/proc/}" "$(tr '\0' ' ' <"$process/cmdline" | cut -c -200)"
  done
}

# Waits until nobody writes to the pipe any more; fails, and says who does, if that takes too long.
output_ends() { # READER
  local until=$((SECONDS + LINGER_SECONDS_MAX))
  while kill -0 "$1" 2>/dev/null; do
    if [ $SECONDS -ge $until ]; then
      printf 'LEAKED: the step has ended, and these of its processes have not:\n'
      writers "$1"
      kill "$1"
      return 1
    fi
    sleep 0.05
  done
}

seconds_left() { echo $((RUN_SECONDS_MAX > SECONDS ? RUN_SECONDS_MAX - SECONDS : 0)); }

# The processes that come from process $1; the others that are named are left out, with all that comes from them.
come_from() {
  local from=$1 child
  shift
  for child in $(cat "/proc/$from/task/$from/children" 2>/dev/null); do
    case " $* " in *" $child "*) ;; *) echo "$child"; come_from "$child" "$@" ;; esac
  done
}

# Ends what this script's step $1 runs once it has taken $2 seconds, but for its reader $3. It goes on until it is killed, and has no
# child then: a pipe that nobody writes to lets time pass as well as a program does.
watch_over() {
  local left self=$BASHPID
  read -r -t "$2" <>"$tally_folder/nothing"
  printf '\nHANGS: "%s" has taken %d s. It is ended; this is what there is:\n' "$1" "$2"
  ps --ppid 2 -p 2 --deselect -o pid,ppid,user,stat,wchan:24,etimes,args --forest | cut -c -180 | tail -n 150
  # A step may be a list of programs.
  while true; do
    left=$(come_from $$ "$3" "$self")
    # shellcheck disable=SC2086 # a list
    [ -z "$left" ] || kill -KILL $left 2>/dev/null
    read -r -t 1 <>"$tally_folder/nothing"
  done
}

# step NAME COMMAND...: runs it; a step whose runner counts nothing is one test itself. The step ends with its program: a
# process that it left behind and that holds its output open would hold up everything otherwise.
step() {
  local name=$1 began=$SECONDS status reader watcher limit leaked=0 p f s
  shift
  limit=$(seconds_left)
  if [ "$limit" = 0 ]; then skip_step "$name" "the time for this run is used up"; return; fi
  [ "$limit" -lt "$STEP_SECONDS_MAX" ] || limit=$STEP_SECONDS_MAX
  printf '\n== %s\n' "$name"
  # A pipe for each step, so that what one has leaked does not count against the next.
  rm -f "$tally_pipe"
  mkfifo "$tally_pipe"
  tee "$tally_log" <"$tally_pipe" &
  reader=$!
  watch_over "$name" "$limit" $reader &
  watcher=$!
  disown $watcher
  "$@" >"$tally_pipe" 2>&1 </dev/null
  status=$?
  # This way it has no say in it: just made, it would end as this shell does, and take the folder away.
  kill -KILL $watcher
  output_ends $reader || leaked=1
  wait $reader 2>/dev/null
  read -r p f s < <(count "$tally_log")
  f=$((f + leaked))
  if [ "$status" != 0 ] && [ "$f" = 0 ]; then f=1; fi
  if [ "$((p + f + s))" = 0 ]; then p=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  step_seconds=$((SECONDS - began))
  if [ "$f" = 0 ]; then
    printf '== %s: ok, %d passed, %d skipped (%d s)\n' "$name" "$p" "$s" $step_seconds
  else
    failures+=("$name")
    printf '== %s: FAILED, %d of %d (%d s)\n' "$name" "$f" $((p + f + s)) $step_seconds
  fi
}

# step_if_time SECONDS NAME COMMAND...: a step that is known to take so many seconds, and says little that others have not; only where
# there is time for it.
step_if_time() {
  local seconds=$1
  shift
  if [ "$(seconds_left)" -gt "$seconds" ]; then step "$@"; else skip_step "$1" "$(seconds_left) s are left for this run"; fi
}

# skip_step NAME REASON: what cannot be tried here is said and counted.
skip_step() {
  skipped=$((skipped + 1))
  printf '\n== %s: SKIPPED, because %s\n' "$1" "$2"
}

# Says what failed, and ends with the counts.
finish() {
  printf '\n'
  local name
  for name in "${failures[@]}"; do printf 'FAILED: %s\n' "$name"; done
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ] && [ "$passed" != 0 ]
}
