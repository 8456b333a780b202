FROM scratch
CMD one
ENTRYPOINT two
