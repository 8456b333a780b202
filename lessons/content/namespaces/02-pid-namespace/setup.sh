# The night watch that a later step attacks. Safe to run again: there is one watch, never two.
touch /var/log/watch.log
pgrep --exact --full 'tail -F /var/log/watch.log' > /dev/null ||
  setsid -f tail -F /var/log/watch.log > /dev/null 2>&1 < /dev/null
