FROM scratch
ONBUILD CMD ["a"]
ONBUILD	ENV   x  y
