FROM scratch
COPY http://localhost/x /x
