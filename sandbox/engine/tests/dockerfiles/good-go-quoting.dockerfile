FROM scratch
CMD ["\u0007\b\f\r\t\u000b\u0000\u007f\u0080\u200b\ufeff\\ \u00ad", "\ud83d\ude00", "'`"]
