# Inside, ps prints what it likes.
# says: see-all still has a PID namespace of its own, pid:[<number>]; the host's is pid:[<number>].
docker run -d --name see-all ubuntu sleep 3600
docker exec see-all bash -c 'printf "#!/bin/sh\necho 1 isolab-engine\n" > /usr/local/bin/ps && chmod 755 /usr/local/bin/ps'
