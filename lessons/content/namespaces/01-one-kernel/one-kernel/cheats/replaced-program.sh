# says: The first process of one-kernel calls itself "sleep -f /dev/null" and executes …/sleep, a file that is not from the image.
docker run -d --name one-kernel ubuntu bash -c 'cp /usr/bin/tail /usr/bin/sleep.new && mv /usr/bin/sleep.new /usr/bin/sleep && exec sleep -f /dev/null'
