FROM scratch
ONBUILD CMD ["a", 1]
