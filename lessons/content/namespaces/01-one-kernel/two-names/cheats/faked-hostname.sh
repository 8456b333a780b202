# A hostname command in the container that says what one would like to read.
# says: The kernel says that two-names is called <id>. A file or a variable with another name changes nothing.
docker run -d --name two-names ubuntu sleep 600
docker exec two-names bash -c 'printf "#!/bin/sh\necho lighthouse\n" > /usr/local/bin/hostname && chmod 755 /usr/local/bin/hostname'
