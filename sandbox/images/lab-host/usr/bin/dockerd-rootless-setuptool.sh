#!/bin/bash
# Docker's name for it: looks whether a user can have an engine of their own, and tells docker's command line of it.
# There is no systemd here that would start that engine at login, so starting it is left to the user.
usage() {
  echo "usage: dockerd-rootless-setuptool.sh check|install|uninstall" >&2
  exit 1
}
fail() { printf '[ERROR] %s\n' "$@" >&2; exit 1; }

check() {
  [ "$(id -u)" != 0 ] || fail "Run this as an ordinary user, not as root: su - learner"
  [ -n "$XDG_RUNTIME_DIR" ] || fail 'XDG_RUNTIME_DIR is not set: export XDG_RUNTIME_DIR=$HOME/.docker/run'
  local program file
  for program in newuidmap newgidmap; do
    command -v $program >/dev/null || fail "$program is missing: it is in the package uidmap"
  done
  for file in /etc/subuid /etc/subgid; do
    grep -q "^$(id -un):" $file || fail "$file has no ids for $(id -un): root adds some with usermod --add-subuids and --add-subgids"
  done
}

case ${1-} in
  check)
    check
    echo "[INFO] Requirements are satisfied"
    ;;
  install)
    check
    docker context inspect rootless >/dev/null 2>&1 ||
      docker context create rootless --docker "host=unix://$XDG_RUNTIME_DIR/docker.sock" >/dev/null
    printf '%s\n' "[INFO] There is no systemd here: start the engine yourself, and leave it running:" "" \
      "  dockerd-rootless.sh &" "" \
      "[INFO] docker finds it with the context \"rootless\" (docker --context rootless ps), or by this variable:" "" \
      "  export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock"
    ;;
  uninstall)
    docker context rm -f rootless >/dev/null 2>&1
    echo "[INFO] Containers and images of that engine are in ~/.local/share/docker still"
    ;;
  *) usage ;;
esac
