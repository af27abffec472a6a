CREATE TABLE `authors` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `notes` (
	`id` integer PRIMARY KEY NOT NULL,
	`author_id` integer NOT NULL,
	`text` text NOT NULL,
	FOREIGN KEY (`author_id`) REFERENCES `authors`(`id`)
);
