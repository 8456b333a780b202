# A profile in complain mode tells what it would refuse, and refuses nothing.
# says: keep-data is loaded in complain mode: it writes down what it would refuse, and refuses nothing.
printf 'profile keep-data flags=(attach_disconnected, complain) {\n  file,\n  network,\n  capability,\n  signal,\n  audit deny /data/** wl,\n}\n' > /etc/apparmor.d/keep-data
apparmor_parser --replace /etc/apparmor.d/keep-data
docker run -d --name vault -v /srv/data:/data --security-opt apparmor=keep-data ubuntu sleep 3600
