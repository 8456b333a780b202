# says: see-all executes …/sleep, but that file is not the one of the image.
docker run -d --name see-all --pid=host ubuntu bash -c 'cp /usr/bin/tail /usr/bin/sleep.new && mv /usr/bin/sleep.new /usr/bin/sleep && exec sleep -f /dev/null'
