# A wrapper before the real command on PATH that says what one would like to read.
# says: No container called pid-test is running. A container lasts as long as its PID 1.
cat > /usr/local/bin/docker <<'EOF'
#!/bin/sh
echo 'CONTAINER ID   IMAGE     COMMAND        CREATED         STATUS         PORTS     NAMES'
echo '5f0c3f1d9a7b   ubuntu    "sleep 3600"   2 seconds ago   Up 1 second              pid-test'
EOF
chmod 755 /usr/local/bin/docker
hash -r
docker run -d --name pid-test ubuntu sleep 3600
