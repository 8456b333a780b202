# says: The kernel says that two-names is called <id>. A file or a variable with another name changes nothing.
docker run -d --name two-names ubuntu sleep 600
