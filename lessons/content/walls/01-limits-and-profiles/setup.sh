# The ledger that the first attack ends: the kernel is told to take it first where memory runs out. There is one, never two.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
touch /var/log/ledger.log
pgrep --exact --full 'tail -F /var/log/ledger.log' > /dev/null ||
  setsid -f choom --adjust 1000 -- tail -F /var/log/ledger.log > /dev/null 2>&1 < /dev/null
# The kernel counts in this group what happened in all containers. A group made anew counts from nothing; the next container makes it.
for _ in 1 2 3 4 5; do
  [ -d /sys/fs/cgroup/docker ] || break
  rmdir /sys/fs/cgroup/docker/* /sys/fs/cgroup/docker 2> /dev/null || sleep 0.2
done
# The accounts that the last attack changes, and the profile that keeps them.
mkdir -p /srv/data
echo 'balance: 100' > /srv/data/accounts
grep -q '^keep-data ' /sys/kernel/security/apparmor/profiles &&
  echo 'profile keep-data { }' | apparmor_parser --remove 2> /dev/null
rm -f /etc/apparmor.d/keep-data
