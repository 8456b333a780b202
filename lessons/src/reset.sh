# Ends what an exercise left running. The files of the lab host and its terminals stay; the lesson's setup runs again afterwards.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
containers=$(docker ps --all --quiet) || exit 1
[ -z "$containers" ] || docker rm --force $containers > /dev/null || exit 1
# What was put into namespaces of its own by hand is no container that Docker knows.
for kind in user pid mnt net uts ipc cgroup; do
  own=$(readlink "/proc/1/ns/$kind")
  for process in /proc/[0-9]*; do
    its=$(readlink "$process/ns/$kind" 2> /dev/null)
    [ -z "$its" ] || [ "$its" = "$own" ] || kill -KILL "${process#/proc/}" 2> /dev/null
  done
done
hostname labhost
