# The right path, with other bytes.
# says: PID 1 of pid-test executes …/sleep, but that file is not the one of the image.
docker run -d --name pid-test ubuntu bash -c 'cp /usr/bin/tail /usr/bin/sleep.new && mv /usr/bin/sleep.new /usr/bin/sleep && exec sleep -f /dev/null'
