# A file in /etc/apparmor.d is text; the kernel knows what was loaded.
# says: No container called vault is running. A profile has to be loaded before a container can be started with it.
printf 'profile keep-data {\n  file,\n  audit deny /data/** wl,\n}\n' > /etc/apparmor.d/keep-data
docker run -d --name vault -v /srv/data:/data --security-opt apparmor=keep-data ubuntu sleep 3600 || true
