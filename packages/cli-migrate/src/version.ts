/** Version of this tool; stage 2 refuses the plan of another one. */
export const toolVersion = '0.1.0';
