FROM scratch
CMD ["a"] trailing
