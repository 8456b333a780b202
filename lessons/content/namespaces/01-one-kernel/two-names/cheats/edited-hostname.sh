# A file is not the kernel.
# says: The kernel says that two-names is called <id>. A file or a variable with another name changes nothing.
docker run -d --name two-names ubuntu sleep 600
docker exec two-names bash -c 'echo lighthouse > /etc/hostname; cat /etc/hostname'
