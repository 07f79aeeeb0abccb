/* A dynamic library that is no plugin. */
int szar_is_not_mentioned(void) { return 1; }
