# Everything that is printed looks right; nothing is.
# says: No container called pid-test is running. A container lasts as long as its PID 1.
cat > /usr/local/bin/ps <<'EOF'
#!/bin/sh
echo 'UID          PID    PPID  C STIME TTY          TIME CMD'
echo 'root           1       0  0 12:00 ?        00:00:00 sleep 3600'
EOF
chmod 755 /usr/local/bin/ps
