# Read by a login shell, which is what every terminal of a lab is.
export LANG=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ -n "$TERM" ] && [ "$TERM" != dumb ] || export TERM=xterm-256color
# Where an ordinary user's own engine listens. Elsewhere systemd makes such a folder at login.
if [ "$(id -u)" != 0 ]; then export XDG_RUNTIME_DIR=$HOME/.docker/run; mkdir -p -m 700 "$XDG_RUNTIME_DIR"; fi
if [ -n "$BASH" ] && [ -f ~/.bashrc ]; then . ~/.bashrc; fi
