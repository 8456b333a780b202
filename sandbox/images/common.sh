# What the recipes share: how they speak, where the state directory is, and how a result becomes the current one.
# The recipe sets prefix (its name in front of each line) before it reads this.

# What an image's files may be read by is not to depend on who builds it.
umask 022

say() { printf '%s\n' "$prefix: $*" >&2; }
die() { say "$1"; shift; for line in "$@"; do say "  $line"; done; exit 1; }

if [ "$(id -u)" = 0 ]; then default_home=/var/lib/isolab; else default_home=${XDG_DATA_HOME:-$HOME/.local/share}/isolab; fi
home=${ISOLAB_HOME:-$default_home}

# make_current FOLDER NAME: the link is replaced in one step, so that a reader sees the old result or the new one.
make_current() {
  [ "$(readlink "$1/current" 2>/dev/null)" = "$2" ] && return
  ln -s "$2" "$1/.current.$$"
  mv -T "$1/.current.$$" "$1/current"
}
