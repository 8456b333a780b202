# The right name on the wrong container, and the right content under another name.
# says: PID 1 of pid-test executes …/tail; let it be sleep itself.
docker run -d --name other ubuntu sleep 3600
docker run -d --name pid-test ubuntu tail -f /dev/null
