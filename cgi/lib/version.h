#ifndef VERSION_H_
#define VERSION_H_

#define FOLLOWUP_VERSION	"1.0.0"

#endif /* !VERSION_H_ */
