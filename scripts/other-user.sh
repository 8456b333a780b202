# An ordinary user to run tests as, when tests are run by root. Sourced by scripts/test.
#
# The clone may lie in a folder that others cannot enter. The user's commands then run in a mount namespace in which the clone
# is at its own path again, below empty folders that anybody can enter: nothing of the machine changes.

other_user='' other_home='' other_user_lacks='' other_user_made=no

# Sets other_user and other_home (its ISOLAB_HOME, with the images); or other_user_lacks, and fails.
find_other_user() {
  other_user=${ISOLAB_TEST_USER-}
  if [ -z "$other_user" ]; then
    other_user=isolab-test-$$
    if ! useradd --create-home --home-dir "/tmp/$other_user" --shell /bin/bash "$other_user" 2>/dev/null; then
      other_user_lacks="no user could be made (useradd)"
      return 1
    fi
    other_user_made=yes
    trap 'forget_other_user >/dev/null 2>&1; rm -rf "$tally_folder"' EXIT
  fi
  if ! grep -q "^$other_user:" /etc/subuid || ! grep -q "^$other_user:" /etc/subgid; then
    if [ $other_user_made = no ]; then other_user_lacks="user $other_user has no subordinate ids"; return 1; fi
    usermod --add-subuids 700000000-700065535 --add-subgids 700000000-700065535 "$other_user"
  fi
  other_home=$(mktemp -d "/tmp/isolab-test-home.XXXXXX")
  local recipe; recipe=$(readlink "$ISOLAB_HOME/images/current")
  mkdir -p "$other_home/images/$recipe"
  # Not what is unpacked: that belongs to the ids of root's labs.
  cp -r "$ISOLAB_HOME/images/$recipe"/{lab-host.tar,layers,index.json} "$other_home/images/$recipe/"
  ln -s "$recipe" "$other_home/images/current"
  chown -R "$other_user:" "$other_home"
}

# Opens a way to folder $1 in this mount namespace: where a parent is closed to others, an empty one takes its place.
open_way() {
  local folder closed='' part=$1
  while [ "$part" != / ]; do
    part=$(dirname "$part")
    [ $((0$(stat -c %a "$part") & 1)) = 1 ] || closed=$part
  done
  [ -n "$closed" ] || return 0
  exec 8<"$1" # the folder itself, which its name will not lead to any more
  mount -t tmpfs -o mode=755 tmpfs "$closed" && mkdir -p "$1" && mount --no-canonicalize --bind /proc/self/fd/8 "$1"
  exec 8<&-
}

# Runs a command as the other user, with an environment of its own, in the current folder.
as_other_user() {
  export -f open_way
  # shellcheck disable=SC2016 # expanded inside
  unshare --mount --propagation private bash -c '
    set -e
    clone=$1 target=$2 user=$3; shift 3
    here=$PWD
    open_way "$clone"
    case $target in "$clone"/*) ;; *) open_way "$target" ;; esac
    cd "$here"
    exec runuser -u "$user" -- env -i "$@"' \
    - "$PWD_OF_CLONE" "$target" "$other_user" \
    HOME="$(getent passwd "$other_user" | cut -d: -f6)" USER="$other_user" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    LANG=C.UTF-8 ISOLAB_BIN_DIR="$ISOLAB_BIN_DIR" ISOLAB_HOME="$other_home" "$@"
}

# Ends what the user left running (and fails then), and removes the user and its folders.
forget_other_user() {
  local left status=0
  id "$other_user" >/dev/null 2>&1 || return 0
  # Processes that have ended and wait for init to notice are not running any more.
  left=$(ps -o stat=,pid=,args= -u "$other_user" 2>/dev/null | grep -v '^Z')
  if [ -n "$left" ]; then printf 'left running as %s:\n%s\n' "$other_user" "$left"; status=1; fi
  if [ $other_user_made = yes ]; then
    [ -z "$left" ] || pkill -KILL -u "$other_user"
    userdel --remove "$other_user" 2>/dev/null || userdel "$other_user" || status=1
    other_user_made=no
  fi
  rm -rf "${other_home:?}" || status=1
  return $status
}
PWD_OF_CLONE=$PWD
