# A process that is no container at all sees everything, of course.
# says: No container called see-all is running.
setsid -f bash -c 'exec -a see-all sleep 3600' > /dev/null 2>&1 < /dev/null
